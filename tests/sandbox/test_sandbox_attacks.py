"""What hostile programs try, as root and as an ordinary user, in each isolation that this machine has."""

import os
import secrets
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.sandboxes import OrdinaryUser, as_this_user

from collab_sdk.errors import SandboxError
from collab_sdk.sandbox import ProgramEnd

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
SHORT = {"seconds": 1.5, "cpu_seconds": 1}


@pytest.fixture(
    scope="module",
    params=[(name, user) for name in ("bubblewrap", "namespaces") for user in ("me", "ordinary")],
    ids="-".join,
)
def run(request):
    """Runs a program under limits, which are given as keywords."""
    isolation, user = request.param
    try:
        runner = as_this_user(isolation) if user == "me" else OrdinaryUser(isolation)
    except SandboxError as error:
        pytest.skip(str(error))
    yield runner
    if isinstance(runner, OrdinaryUser):
        runner.close()


def processes_with(marker: str) -> list[int]:
    """Of the whole machine: a sandbox's processes are visible from outside."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and marker.encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def test_a_fork_bomb_runs_out_of_processes_and_of_time(run):
    marker = secrets.token_hex(8)
    bomb = f"""
import os
while True:
    try:
        if os.fork() == 0:
            os.execv("/bin/sleep", ["{marker}", "1000"])
    except OSError:
        pass
"""
    assert run(bomb, **SHORT).end is ProgramEnd.TIME
    assert processes_with(marker) == []


def test_no_more_processes_than_the_limit_can_be_started(run):
    count = """
import os, signal
n = 0
try:
    while os.fork():
        n += 1
    signal.pause()
except OSError:
    print(n)
"""
    result = run(count, processes=16, memory=512 * MIB)
    assert 10 <= int(result.output) < 16


def test_a_memory_hog_gets_no_more(run):
    result = run("x = bytearray(10**10)")
    assert result.end is ProgramEnd.FAILED
    assert "MemoryError" in result.output


def test_processes_cannot_be_hogs_together(run):
    hogs = "import os\nfor _ in range(6): os.fork()\nx = bytearray(60_000_000)\nimport time; time.sleep(60)"
    assert run(hogs, memory=128 * MIB, processes=64).end is ProgramEnd.MEMORY


@pytest.mark.parametrize("processes", [1, 4])
def test_sockets_cannot_be_hogs(run, processes):
    hog = f"""
import os, signal, socket
for _ in range({processes - 1}):
    if os.fork() == 0: break
held = []
while len(held) < 60:
    held.append(socket.socketpair())
    for end in held[-1]:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
        end.setblocking(False)
        try:
            while True: end.send(bytes(65536))
        except BlockingIOError:
            pass
signal.pause()
"""
    assert run(hog, memory=256 * MIB, seconds=60).end is ProgramEnd.MEMORY


def test_a_few_sockets_are_to_be_had(run):
    loops = "import asyncio\nfor _ in range(3): asyncio.run(asyncio.sleep(0))"
    assert run(loops, memory=256 * MIB).finished


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_files_cannot_be_hogs_either(run, folder):
    hog = f"for n in range(100):\n    open(f'{folder}/{{n}}', 'wb').write(bytes(1_000_000))"
    result = run(hog, disk=8 * MIB)
    assert result.end is ProgramEnd.FAILED
    assert "No space left" in result.output


def test_a_huge_file_is_cut_off(run):
    result = run("open('big', 'wb').write(bytes(20_000_000))", file_size=MIB)
    assert result.end is ProgramEnd.FAILED
    assert "File too large" in result.output


def test_memory_that_belongs_to_no_process_is_not_to_be_had(run):
    assert run("import os; os.memfd_create('x')").end is ProgramEnd.FAILED
    segment = "import ctypes; libc = ctypes.CDLL(None); assert libc.shmget(0, 1 << 20, 0o1600) >= 0"
    assert run(segment).end is ProgramEnd.FAILED


def test_memory_that_stays_when_nobody_has_it_resident_is_not_to_be_had(run):
    hiding = """
import mmap, os, signal
for _ in range(6):
    pages = {pages}
    for page in range(0, len(pages), mmap.PAGESIZE):
        pages[page] = 1
    if os.fork() == 0:  # the child has them mapped, but none of them resident
        signal.pause()
    pages.close()
signal.pause()
"""
    size = 100 * MIB
    for pages in (f"mmap.mmap(-1, {size})", f"mmap.mmap(os.open('/dev/zero', os.O_RDWR), {size})"):
        assert run(hiding.format(pages=pages), memory=256 * MIB, **SHORT).end is ProgramEnd.FAILED


def test_endless_output_is_read_no_further_than_its_limit(run):
    result = run("while True: print('x' * 1000)", output=100_000)
    assert result.end is ProgramEnd.OUTPUT
    assert len(result.output) <= 2000
    assert run("print('x' * 200_000)", output=100_000).end is ProgramEnd.OUTPUT


def test_an_endless_loop_runs_out_of_time(run):
    assert run("while True: pass", seconds=10, cpu_seconds=1).end is ProgramEnd.TIME


def test_a_program_that_only_waits_runs_out_of_time(run):
    assert run("import time; time.sleep(1000)", seconds=0.5).end is ProgramEnd.TIME


def test_a_program_that_hides_its_output_and_waits_runs_out_of_time(run):
    assert run("import os, time; os.closerange(0, 100); time.sleep(1000)", seconds=0.5).end is ProgramEnd.TIME


def test_a_program_that_ignores_every_signal_is_ended_all_the_same(run):
    stubborn = """
import signal
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
while True: pass
"""
    assert run(stubborn, **SHORT).end in (ProgramEnd.TIME, ProgramEnd.FAILED)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGTERM", "SIGSTOP"])
def test_a_program_that_sends_itself_a_signal_has_failed(run, name):
    suicide = f"import os, signal; os.kill(os.getpid(), signal.{name})"
    assert run(suicide, seconds=1).end in (ProgramEnd.FAILED, ProgramEnd.TIME)


def test_nothing_outside_can_be_killed(run):
    with subprocess.Popen(["sleep", "1000"]) as victim:
        result = run(f"import os; os.kill({victim.pid}, 9)")
        assert result.end is ProgramEnd.FAILED
        assert "ProcessLookupError" in result.output
        run("import os; os.kill(os.getppid(), 9)")
        run("import os; os.kill(1, 9)")
        run("import os; os.kill(-1, 9)")
        run("import os; os.killpg(0, 9)")
        assert victim.poll() is None
        victim.kill()


def test_the_first_process_which_has_no_limits_cannot_be_written_into(run):
    result = run("open('/proc/1/mem', 'r+b')")
    assert result.end is ProgramEnd.FAILED
    assert "PermissionError" in result.output


def test_a_grandchild_that_became_a_daemon_does_not_outlive_its_program(run):
    marker = secrets.token_hex(8)
    daemon = f"""
import os
ready, started = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(started, b"x")
        for fd in (0, 1, 2):
            os.close(fd)
        os.execv("/bin/sleep", ["{marker}", "1000"])
    os._exit(0)
os.read(ready, 1)
"""
    assert run(daemon).finished
    assert processes_with(marker) == []


SECRET = "a-secret-that-nobody-may-see"


@pytest.mark.parametrize("place", ["home", "cache", "tmp"])
def test_files_of_the_user_are_not_there(run, place, tmp_path):
    folder = {"home": Path.home(), "cache": Path(os.environ["COLLAB_CACHE_DIR"]), "tmp": tmp_path}[place]
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "id_rsa"
    key.write_text(SECRET)
    key.chmod(0o644)
    for path in (key, f"/proc/self/root{key}", f"/proc/1/root{key}", f"/proc/{os.getpid()}/root{key}"):
        result = run(f"print(open({str(path)!r}).read())")
        assert result.end is ProgramEnd.FAILED
        assert SECRET not in result.output
    assert run(f"import os; os.symlink({str(key)!r}, 'link'); print(open('link').read())").end is ProgramEnd.FAILED
    assert run(f"import os; os.symlink({str(key)!r}, 'link'); open('link', 'w').write('x')").end is ProgramEnd.FAILED
    assert key.read_text() == SECRET


def test_the_environment_is_not_there(run, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    spy = """
import glob, os
print(dict(os.environ))
for path in glob.glob("/proc/*/environ") + glob.glob("/proc/*/cmdline"):
    try:
        print(open(path).read())
    except OSError:
        pass
"""
    result = run(spy)
    assert result.finished
    assert SECRET not in result.output
    assert "COLLAB" not in result.output


def test_nothing_can_be_written_outside_of_the_directory(run):
    outside = [
        "/x",
        "/usr/x",
        "/etc/x",
        "/dev/x",
        "/proc/sys/kernel/hostname",
        "/proc/sysrq-trigger",
        "/sys/x",
        "/home/x",
    ]
    paths = [*outside, f"{sys.base_prefix}/x", os.__file__]
    before = Path(os.__file__).read_bytes()
    vandal = f"""
for path in {paths!r}:
    try:
        open(path, "a").write("x")
    except OSError:
        continue
    print(path)
"""
    result = run(vandal)
    assert (result.end, result.output) == (ProgramEnd.FINISHED, "")
    assert not any(Path(path).exists() for path in paths if path.endswith("/x"))
    assert Path(os.__file__).read_bytes() == before


def test_files_are_thrown_away_after_each_program(run):
    assert run("open('left', 'w').write('x')").finished
    assert run("import os; assert 'left' not in os.listdir('.')").finished  # Python itself may lie in that folder


def test_no_network_is_there(run):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for address in ("127.0.0.1", "1.1.1.1"):
            call = f"import socket; socket.create_connection(({address!r}, {port}), timeout=5)"
            assert run(call).end is ProgramEnd.FAILED
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_sockets_without_a_file_are_out_of_reach_too(run):
    name = f"\0collab-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        call = f"import socket; socket.socket(socket.AF_UNIX).connect({name!r})"
        assert run(call).end is ProgramEnd.FAILED


@pytest.mark.parametrize("family", ["AF_VSOCK", "AF_ALG", "AF_PACKET"])
def test_sockets_that_no_network_namespace_holds_back_are_not_to_be_had(run, family):
    result = run(f"import socket; socket.socket(socket.{family}, socket.SOCK_STREAM)")
    assert result.end is ProgramEnd.FAILED
    assert "Operation not permitted" in result.output


def test_no_rights_can_be_gained(run):
    assert run("import os; os.setuid(0); os.mknod('x', 0o60600, 0x0800)").end is ProgramEnd.FAILED
    for command in (["unshare", "-r", "true"], ["mount", "-t", "tmpfs", "x", "/tmp"], ["chroot", "/tmp"]):
        assert run(f"import subprocess; subprocess.run({command!r}, check=True)").end is ProgramEnd.FAILED
    assert run("import ctypes; assert ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0").end is ProgramEnd.FAILED
    raised = "import resource as r; r.setrlimit(r.RLIMIT_NPROC, (1000, 1000))"
    assert run(raised).end is ProgramEnd.FAILED


LEAVING = ("import os; os._exit(0)", "import sys; sys.exit(0)", "raise SystemExit", "import os; os.abort()")


@pytest.mark.parametrize("program", LEAVING)
def test_to_leave_early_is_to_fail(run, program):
    assert run(program).end is ProgramEnd.FAILED


def test_a_sandbox_ends_with_the_process_that_opened_it():
    try:
        as_this_user("bubblewrap")
    except SandboxError as error:
        pytest.skip(str(error))
    marker = secrets.token_hex(8)
    program = f"import os; print('up', flush=True); os.execv('/bin/sleep', ['{marker}', '1000'])"
    imports = "from collab_sdk.sandbox import ProgramLimits, Sandbox"
    code = f"{imports}; Sandbox(limits=ProgramLimits(seconds=100)).run({program!r})"
    with subprocess.Popen([sys.executable, "-c", code]) as owner:
        while not (pids := [pid for pid in processes_with(marker) if _is_sleep(pid)]):
            assert owner.poll() is None
        handle = os.pidfd_open(pids[0])
        owner.send_signal(signal.SIGKILL)
        assert select.select([handle], [], [], 30)[0], "the program goes on"
        os.close(handle)


def _is_sleep(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() == "sleep"
    except OSError:
        return False
