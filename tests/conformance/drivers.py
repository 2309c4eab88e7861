"""The drivers of the tests, pinned, installed into ~/.cache/countersign-tests when they are missing."""

import pathlib
import shutil
import sys

from harness import CACHE, HERE, digest, run_quiet


def stamp_of(*files):
    """Changes when a pinned version changes."""
    return digest(b"".join(pathlib.Path(f).read_bytes() for f in files))


def installed(folder, stamp, install):
    """Installs into the folder unless it holds this very version."""
    mark = folder / ".installed"
    if not mark.exists() or mark.read_text() != stamp:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(f"installing {folder.name} ...", file=sys.stderr, flush=True)
        install()
        mark.write_text(stamp)
    return folder


def python():
    """The Python of the virtual environment that the pinned drivers are in."""
    requirements = HERE / "python/requirements.txt"
    venv = CACHE / "venv"

    def install():
        run_quiet([sys.executable, "-m", "venv", venv], "making the virtual environment")
        run_quiet([venv / "bin/pip", "install", "-q", "-r", requirements], "pip install")
    installed(venv, stamp_of(requirements) + sys.version, install)
    return venv / "bin/python"


def jars():
    """The folder of the jars that pom.xml lists."""
    folder = CACHE / "jars"
    plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

    def install():
        run_quiet(["mvn", "-q", "-B", "-f", HERE / "java/pom.xml", plugin, f"-DoutputDirectory={folder}"], "mvn")
    return installed(folder, stamp_of(HERE / "java/pom.xml"), install)


def java(source, name):
    """A program with the class Client that uses pgjdbc, compiled into a folder of this name: the command that runs it."""
    driver = next(jars().glob("postgresql-4*.jar"))
    folder = CACHE / name
    installed(folder, stamp_of(source, HERE / "java/pom.xml"),
              lambda: run_quiet(["javac", "-encoding", "UTF-8", "-d", folder, "-cp", driver, source], "javac"))
    return ["java", "-Xmx2g", "-Dfile.encoding=UTF-8", "-Duser.timezone=UTC", "-cp", f"{folder}:{driver}", "Client"]
