"""The alphabet of text messages: which letters keep a message short and cheap."""

from typing import Final

# 3GPP TS 23.038, section 6.2.1: one septet each. Those of the extension table take two; any other letter makes the
# whole message UCS-2, of which a segment holds 70.
GSM_7: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The letters of the GSM 7-bit default alphabet."""

SEGMENT_LETTERS: Final = 160
"""How many of them one segment holds, which is what is paid for."""
