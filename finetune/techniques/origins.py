"""Where a user's technique comes from: a file, a class of a script or notebook, an installed package.

Each origin loads its class, has a digest of its source, and can be sent to another process.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from finetune.errors import Change, RecipeError, suggest
from finetune.techniques.class_source import source_of

IN_A_FILE = Change(text='Put the class into a file and pass it as "FILE.py:CLASS".')


class Origin(Protocol):
    """One way in which users provide a technique."""

    @property
    def title(self) -> str:
        """Name in messages; two classes with the same title are versions of one technique."""
        ...

    def load(self) -> Any:
        """The class, not yet checked."""
        ...

    def digest(self) -> str:
        """sha256 of its source, 64 hexadecimal digits."""
        ...

    def error(self, why: str, *changes: Change) -> RecipeError:
        """The class is refused."""
        ...


@dataclass(frozen=True)
class FileOrigin:
    """A class of a Python file, as its text was when it was named."""

    path: Path
    name: str
    text: bytes

    @classmethod
    def parse(cls, reference: str) -> FileOrigin:
        """Read what `path.py:Class` names.

        Raises:
            RecipeError: It is not of that form, or there is no such file.
        """
        path, _, name = reference.rpartition(":")
        if not path.endswith(".py") or not name.isidentifier():
            why = "expected path.py:Class, for example my_technique.py:MyTechnique."
            raise RecipeError(why, argument="technique", found=reference)
        try:
            return cls(Path(path).resolve(), name, Path(path).read_bytes())
        except OSError as error:
            why = f"the file '{path}' cannot be read: {error.strerror}."
            raise RecipeError(why, argument="technique", found=reference) from error

    @property
    def title(self) -> str:
        return f"{self.path}:{self.name}"

    def load(self) -> Any:
        module = self._module()
        if not hasattr(module, self.name):
            classes = [key for key, value in vars(module).items() if isinstance(value, type) and key != "Technique"]
            raise self.error(f"{self.path.name} has no class '{self.name}'.{suggest(self.name, classes)}")
        return getattr(module, self.name)

    def digest(self) -> str:
        return hashlib.sha256(self.text).hexdigest()

    def _module(self) -> ModuleType:
        """Run the text once; an edited file becomes a module of its own."""
        key = hashlib.sha256(f"{self.path}\n{self.digest()}".encode()).hexdigest()
        title = f"finetune_own_{self.path.stem}_{key[:12]}"
        if title in sys.modules:
            return sys.modules[title]
        module = ModuleType(title)
        module.__file__ = str(self.path)
        sys.modules[title] = module
        try:
            exec(compile(self.text, str(self.path), "exec"), vars(module))
        except Exception as error:
            del sys.modules[title]
            raise self.error(f"cannot be loaded: {type(error).__name__}: {error}.") from error
        return module

    def error(self, why: str, *changes: Change) -> RecipeError:
        return RecipeError(why, *changes, argument="technique", found=self.title)


@dataclass(frozen=True)
class PackageOrigin:
    """A class that an installed package declares as an entry point. Every process finds it by itself."""

    point: metadata.EntryPoint

    @property
    def title(self) -> str:
        return f"entry point {self.point.name} = {self.point.value}"

    def load(self) -> Any:
        try:
            return self.point.load()
        except Exception as error:
            package = self.point.dist.name if self.point.dist is not None else "the package that declares it"
            change = Change(command=f"pip uninstall {package}", note=f"or repair {package}")
            raise self.error(f"cannot be loaded: {type(error).__name__}: {error}.", change) from error

    def digest(self) -> str:
        return hashlib.sha256(Path(inspect.getfile(self.load())).read_bytes()).hexdigest()

    def error(self, why: str, *changes: Change) -> RecipeError:
        return RecipeError(why, *changes, where=self.title)


@dataclass(frozen=True)
class ClassOrigin:
    """A class object, such as one defined in a notebook."""

    kind: type

    @property
    def title(self) -> str:
        # A worker process runs the script of its parent under the second name.
        module = self.kind.__module__.replace("__mp_main__", "__main__")
        return f"class {self.kind.__qualname__} of {module}"

    def load(self) -> Any:
        return self.kind

    def digest(self) -> str:
        """Digest of the current source: a redefined helper function changes it.

        Raises:
            RecipeError: There is no source text.
        """
        try:
            return hashlib.sha256(source_of(self.kind).encode()).hexdigest()
        except OSError as error:
            why = f"has no source text ({error}), so a resumed run could not tell whether it has changed."
            raise self.error(why, IN_A_FILE) from error

    def error(self, why: str, *changes: Change) -> RecipeError:
        return RecipeError(why, *changes, where=self.title)

    def pickled(self) -> PickledOrigin:
        """For another process.

        Raises:
            RecipeError: It cannot be pickled.
        """
        import cloudpickle  # slow to import; needed only where worker processes are

        digest = self.digest()
        try:
            with _by_value(sys.modules.get(self.kind.__module__)):
                return PickledOrigin(self.title, digest, cloudpickle.dumps(self.kind))
        except Exception as error:  # whatever the objects that it refers to raise
            why = f"cannot be sent to worker processes: {type(error).__name__}: {error}."
            raise self.error(why, IN_A_FILE) from error


@dataclass(frozen=True)
class PickledOrigin:
    """A class object of another process."""

    title: str
    source: str
    pickle: bytes

    def load(self) -> Any:
        import cloudpickle

        try:
            return cloudpickle.loads(self.pickle)
        except Exception as error:
            why = f"cannot be loaded in this process: {type(error).__name__}: {error}."
            raise self.error(why, IN_A_FILE) from error

    def digest(self) -> str:
        return self.source

    def error(self, why: str, *changes: Change) -> RecipeError:
        return RecipeError(why, *changes, where=self.title)


@contextlib.contextmanager
def _by_value(module: ModuleType | None) -> Iterator[None]:
    """What a module without a file holds is pickled whole: another process could not import it."""
    if module is None or module.__name__ == "__main__" or module.__spec__ is not None:
        yield
        return
    import cloudpickle

    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)
