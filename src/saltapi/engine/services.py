"""
What the operations of one module need, made of the master's options and the module's section.

Modules make it by `Services` alone, and ask `bind` for the operations when they have a client.
"""

from pathlib import Path

from saltapi.config import HttpSection
from saltapi.engine.commands.asynchronous import AsyncAPIClient
from saltapi.engine.events.acl import EventAcl
from saltapi.engine.operations.api import Api
from saltapi.engine.sessions.administrators import Administrators
from saltapi.engine.sessions.user_names import UserNames
from saltapi.engine.store.sqlite import Store
from saltapi.engine.webhooks.secrets import HookSecrets
from saltapi.types import Opts


class Services:
    """The services of one module in one process."""

    def __init__(self, opts: Opts, section: HttpSection, name: str) -> None:
        """
        Args:
            opts: The master's options; not changed.
            section: The module's options.
            name: The name of the section.

        Raises:
            CannotStart: An option is wrong.
        """
        UserNames(opts).check(f"{name}.administrators", section.administrators)
        self._opts = opts
        self._section = section
        self.store = Store(Path(opts["cachedir"]) / "saltapi" / f"{name}.sqlite")
        """What all processes of the module on this machine share; a file when it is needed."""
        self.hook_secrets = HookSecrets(section.webhook_secrets, once=self.store)
        self._api: Api | None = None

    def administrators(self, client: AsyncAPIClient) -> Administrators:
        """Return who is an administrator, as *client* can tell."""
        return Administrators(self._opts, client.permissions, self._section.administrators)

    def bind(
        self,
        client: AsyncAPIClient,
        administrators: Administrators | None = None,
        event_acl: EventAcl | None = None,
    ) -> Api:
        """
        Return the operations over *client*; the same ones at the next call.

        Args:
            client: Started by whoever made it, and closed by them.
            administrators: Those of `administrators`, if they were asked for already.
            event_acl: Who sees which events, in a module that has the option.
        """
        if self._api is None:
            self.hook_secrets.throttle = client.login_throttle
            self._api = Api(
                client,
                self._section,
                administrators or self.administrators(client),
                event_acl,
                self.hook_secrets,
            )
        return self._api

    def reload(self) -> None:
        """
        Read the files that options name again.

        Raises:
            CannotStart: One cannot be read; everything stays as it was.
        """
        self.hook_secrets.reload()

    async def close(self) -> None:
        """Close the store; idempotent."""
        await self.store.close()
