"""What may be set about the detector of operator faults."""

from typing import Annotated

from pydantic import Field

from ...settings import Number, Seconds, Settings, between


class DetectorSettings(Settings):
    """How operator faults are told from bad luck. The defaults are meant to stay as they are."""

    caution: Number = Field(
        3.5,
        ge=0,
        le=20,
        description="points that a fault must show beyond what chance shows once a month; 1 more: 3 times fewer"
        " false pages, and about one message later",
    )
    first_look: Annotated[Seconds, between("5s", "2m")] = Field(
        30.0, description="a message is expected to have arrived after this time"
    )
    second_look: Annotated[Seconds, between("1m", "15m")] = Field(
        180.0, description="by then a late message has arrived, and a client has typed the code"
    )
    session: Annotated[Seconds, between("1m", "1h")] = Field(
        600.0, description="further messages to a recipient within this time are resends and are not judged"
    )
    half_life: Annotated[Seconds, between("1h", "7d")] = Field(
        43200.0, description="time in which collected evidence loses half of its weight"
    )
    history: Annotated[Seconds, between("2d", "60d")] = Field(
        1209600.0, description="the time from which is learned what is normal"
    )
