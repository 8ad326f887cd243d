"""Programs of their own: scripts, modules and the guard that they need."""

import textwrap

import pytest

from tests.processes import Program, program, started_here, wait_until

pytestmark = pytest.mark.process

SCRIPT = """
    from dataclasses import dataclass
    from beethoven import Role

    print("imported", __name__)

    @dataclass
    class Question:
        text: str

    class Greeter(Role):
        start_method = "{method}"

        def handle_call(self, request, caller):
            return Question(request.text.upper())

    class Outer(Role):
        start_method = "{method}"

        def init(self, args):
            self.inner = Greeter.start_link()

        def handle_call(self, request, caller):
            return self.inner.call(request)

    def main():
        for behaviour in (Greeter, Outer, Greeter):
            ref = behaviour.start_link()
            print(ref.call(Question("hello")))
            ref.stop()

    if __name__ == "__main__":
        main()
"""

ANSWERS = ["Question(text='HELLO')"] * 3


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_roles_may_be_defined_in_the_script_that_starts_them(tmp_path, method):
    with program(SCRIPT.format(method=method), tmp_path) as running:
        code, out, errors = running.finish()
    assert (code, errors) == (0, "")
    lines = out.splitlines()
    assert [line for line in lines if line.startswith("Question")] == ANSWERS
    assert lines.count("imported __main__") == 1


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_roles_may_be_defined_in_the_module_that_is_run(tmp_path, method):
    package = tmp_path / "some_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "some_module.py").write_text(textwrap.dedent(SCRIPT.format(method=method)))
    running = Program("-m", "some_package.some_module", cwd=tmp_path)
    code, out, errors = running.finish()
    assert (code, errors) == (0, "")
    assert [line for line in out.splitlines() if line.startswith("Question")] == ANSWERS


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
@pytest.mark.parametrize("start", ["main()", "ref = Outer.start_link()"])
def test_a_missing_guard_is_told_with_the_fix(tmp_path, method, start):
    source = textwrap.dedent(SCRIPT.format(method=method))
    unguarded = source.replace('if __name__ == "__main__":\n    main()', start)
    assert unguarded != source
    with program(unguarded, tmp_path) as running:
        code, _, errors = running.finish(timeout=20)
    assert code == 1
    assert 'if __name__ == "__main__":' in errors
    assert errors.count("Traceback (most recent call last)") <= 2, errors
    assert len(errors.splitlines()) < 60, errors
    wait_until(lambda: not started_here())


def test_a_role_of_an_interactive_session_is_refused_with_the_fix():
    source = (
        "from beethoven import Role\n"
        "class Typed(Role): pass\n"
        "try: Typed.start_link()\n"
        "except Exception as error: print(error)\n"
    )
    code, out, _ = Program("-c", source).finish()
    assert code == 0
    assert "put it at the top level of a file of its own" in out


def test_a_role_of_an_imported_module_needs_no_guard(tmp_path):
    (tmp_path / "my_roles.py").write_text(
        "from beethoven import Role\n"
        "class Mine(Role):\n"
        "    def handle_call(self, request, caller): return request\n"
    )
    source = """
        from my_roles import Mine
        ref = Mine.start_link()
        print(ref.call("hello"))
        ref.stop()
    """
    with program(source, tmp_path) as running:
        assert running.finish() == (0, "hello\n", "")


def test_a_program_may_end_without_stopping_its_roles(tmp_path):
    source = """
        import sys
        from tests.integration.roles import Puppet
        if __name__ == "__main__":
            Puppet.start_link()
            sys.exit(3)
    """
    with program(source, tmp_path) as running:
        assert running.finish() == (3, "", "")
    assert not started_here()


def test_a_program_that_fails_shows_its_own_error_only(tmp_path):
    source = """
        from tests.integration.roles import Puppet
        if __name__ == "__main__":
            Puppet.start_link()
            raise SystemError("mine")
    """
    with program(source, tmp_path) as running:
        code, _, errors = running.finish()
    assert code == 1
    assert errors.count("Traceback") == 1
    assert errors.endswith("SystemError: mine\n")


def test_a_program_changes_nothing_of_the_interpreter_it_is_embedded_in(tmp_path):
    source = """
        import logging, multiprocessing, os, signal, subprocess, sys, threading

        def state():
            return (
                [signal.getsignal(number) for number in signal.valid_signals()],
                logging.getLogger().handlers[:], logging.getLogger().level,
                multiprocessing.get_start_method(allow_none=True),
                threading.enumerate(), os.getcwd(), dict(os.environ), sys.path[:],
                sys.excepthook, threading.excepthook, os.umask(0o22), sys.stdout, sys.stderr,
            )

        if __name__ == "__main__":
            os.umask(0o22)
            before = state()
            import beethoven
            from tests.integration import roles
            assert state() == before, "importing changed something"
            mine = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
            forked = os.fork()
            if forked == 0:
                os._exit(9)
            refs = [roles.Puppet.start_link() for _ in range(2)]
            assert state() == before, "starting changed something"
            for ref in refs:
                ref.call((roles.answer, 1))
            os.kill(refs[0].pid, signal.SIGKILL)
            refs[0].wait()
            later = subprocess.Popen(["true"])
            roles.Puppet.start_link().stop()
            refs[1].stop()
            assert state() == before, "stopping changed something"
            print(mine.wait(), os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]), later.wait())
            try:
                os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                print("no child left")
    """
    with program(source, tmp_path) as running:
        assert running.finish() == (0, "7 9 0\nno child left\n", "")


def test_a_program_without_standard_streams_may_start_roles(tmp_path):
    source = """
        import os
        from tests.integration import roles
        if __name__ == "__main__":
            for descriptor in (0, 1, 2):
                os.close(descriptor)
            ref = roles.Puppet.start_link()
            answer = ref.call((roles.answer, 5))
            ref.stop()
            os._exit(answer)
    """
    with program(source, tmp_path) as running:
        assert running.finish()[0] == 5
