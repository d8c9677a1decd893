"""The errors a user can cause; each carries one line that names the thing and the remedy."""


class HlocLocalizerError(Exception):
    """Work that was asked for correctly could not be done; the command line exits with status 1."""

    exit_status = 1


class InputError(HlocLocalizerError):
    """An input (bag, image, option, map folder) is missing or wrong; exit status 2."""

    exit_status = 2


class MapError(InputError):
    """A map folder is missing, incomplete, changed, or of a version this release cannot read."""


class BuildInterruptedError(HlocLocalizerError):
    """A build was told to stop; its finished stages are kept for the next one."""
