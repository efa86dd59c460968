"""What every test starts from."""

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logs_go_to_the_standard_library() -> None:
    """Let ``caplog`` see what the exporter logs, tracebacks included."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
