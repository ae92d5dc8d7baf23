"""Where the events of our daemons go."""

import logging
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger


def log_to_stderr(level: str) -> None:
    """Events as key=value lines; what libraries log goes the same way."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")


def line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """As structlog's LogfmtRenderer, which looks at each letter of the keys besides: ours are words in the code.

    An agent writes a line for each change, and a tenth of what it called for one was that.
    """
    first = [(key, event.pop(key, None)) for key in ("timestamp", "level", "event")]
    return " ".join([key if value is True else f"{key}={_text(value)}" for key, value in (*first, *event.items())])


def _text(value: object) -> str:
    if value is None:
        return ""
    text = "false" if value is False else str(value)
    quoted = " " in text or "=" in text or '"' in text
    if quoted:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    text = text.replace("\n", "\\n")
    return f'"{text}"' if quoted else text
