"""The two errors a user may see: one line, no traceback."""

from pathlib import Path

USAGE, FAILED, RECORDS_FAILED, INTERRUPTED_RESUMABLE, INTERRUPTED, READER_GONE = 2, 1, 3, 75, 130, 141
"""Exit codes other than 0, as in the README."""


class RrgError(Exception):
    """The run can not go on. The message is one line for the user: what, where, seen, expected, what to do."""

    exit_code = FAILED

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(f"{message} [{code}]" if code else message)


class UsageError(RrgError):
    """An option or path on the command line is wrong."""

    exit_code = USAGE


def plain_target(path: Path, option: str) -> Path:
    """`path`, if a file may be written and renamed there. UsageError for a folder, a device or a FIFO."""
    if path.exists() and not path.is_file():
        raise UsageError(f"{option} {path} is no plain file, and it is not replaced; give a file name")
    return path


class RecordError(Exception):
    """This record (or file) only is rejected; `code` is one of the stable E_ codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[type["RecordError"], tuple[str, str]]:
        """Carry both fields across processes."""
        return RecordError, (self.code, self.message)


def unreadable(error: OSError) -> RecordError:
    """E_PATH for what the system refused. An OSError without a number is pydicom's word for a damaged header."""
    if error.errno is None:
        return RecordError("E_MALFORMED", "header ends inside of a data element; copy the file again, or leave it out")
    return RecordError("E_PATH", f"file can not be read: {error.strerror}; check its permissions")
