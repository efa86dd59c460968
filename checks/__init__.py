"""2FA delivery checks."""
