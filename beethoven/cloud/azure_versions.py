"""Which versions of Azure's metadata service are asked. Pure."""

import re
from collections.abc import Collection
from typing import Final

from beethoven.cloud.azure_json import Unreadable, table_of, word

# Every region has it.
INSTANCE: Final = "2021-02-01"
# With the first, machines are told that the provider would like to have them back.
EVENTS: Final = ("2024-07-09", "2020-07-01")

# Before it there are no interfaces.
_OLDEST: Final = "2017-04-02"
_VERSION: Final = re.compile("20[0-9]{2}-[01][0-9]-[0-3][0-9]")


def read_versions(body: bytes) -> frozenset[str]:
    """
    Return the versions that an answer lists.

    Raises:
        Unreadable: It lists none.
    """
    listed = table_of(body).get("apiVersions")
    if not isinstance(listed, list):
        raise Unreadable("it has no list of versions")
    return frozenset(each for each in listed if _VERSION.fullmatch(word(each, 10)))


def best_version(offered: Collection[str], refused: Collection[str]) -> str | None:
    """
    Return the version of the instance's document to ask for, or None if there is none.

    The next one after our own has all that ours has; an older one may lack a part.

    Args:
        offered: Those that the service lists.
        refused: Those that it did not answer.
    """
    fit = [each for each in offered if each >= _OLDEST and each not in refused]
    newer = [each for each in fit if each >= INSTANCE]
    return min(newer) if newer else max(fit, default=None)
