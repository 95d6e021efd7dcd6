"""The base of every part of the config that is ours: how it is read, and what is unknown in it."""

import difflib
from typing import Any, ClassVar, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from saltapi.config.wording import Problem, WrongConfig, problem_of

NOT_NUMBERS = frozenset({"string_type", "list_type", "dict_type"})
"""What the validation library says of a number where there should be something else."""


class Section(BaseModel):
    """Base of every part of the config that is ours; unknown keys are kept for `unknown`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    title: ClassVar[str] = ""
    """Where the options stand, for messages: the name of a section, or "" for the top level."""

    @model_validator(mode="before")
    @classmethod
    def _null_is_default(cls, values: dict[str, Any]) -> dict[str, Any]:
        """An option without a value (`debug:`) is as good as none, as in Salt's modules."""
        return {name: value for name, value in values.items() if value is not None}

    @field_validator("*", mode="wrap")
    @classmethod
    def _empty_is_default(
        cls, value: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        """Take what Salt's modules take for "not set", and every number as yes or no."""
        field = cls.model_fields[str(info.field_name)]
        if field.annotation is bool and isinstance(value, int | float):
            return bool(value)
        try:
            return validate(value)
        except ValidationError as error:
            kinds = {found["type"] for found in error.errors()}
            is_empty = value in ("", [], {}) or (value == 0 and not kinds.isdisjoint(NOT_NUMBERS))
            if is_empty and not field.is_required():
                return field.get_default(call_default_factory=True)
            raise

    @classmethod
    def parse(cls, values: Any) -> Self:
        """
        Return the section made of *values*.

        Raises:
            WrongConfig: An option has a value that it cannot have; the text names each of them.
        """
        if not isinstance(values, dict):
            problem = Problem((cls.title,), f"{cls.title} must be a mapping of options")
            raise WrongConfig([problem])
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise WrongConfig(cls._problems(error)) from error

    @classmethod
    def _problems(cls, error: ValidationError) -> list[Problem]:
        """Return what is wrong, once for each option that may be of several kinds."""
        section = (cls.title,) if cls.title else ()
        found: dict[tuple[Any, ...], Problem] = {}
        for one in error.errors():
            field = cls.model_fields.get(str(one["loc"][0])) if one["loc"] else None
            problem = problem_of(one, section, field and field.description)
            found.setdefault(problem.path, problem)
        return list(found.values())

    def unknown(self) -> dict[str, str | None]:
        """Return the options that do not exist, each with the nearest name that does."""
        return {name: nearest(name, self.option_names()) for name in self.model_extra or {}}

    @classmethod
    def option_names(cls) -> list[str]:
        """Return the names of all options, as they are written in the config."""
        names: list[str] = []
        for name, field in cls.model_fields.items():
            choices = field.validation_alias
            names += map(str, choices.choices) if isinstance(choices, AliasChoices) else [name]
        return names


def nearest(name: str, names: list[str]) -> str | None:
    """Return the one of *names* that somebody who wrote *name* most likely meant, or None."""
    return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=0.6)), None)
