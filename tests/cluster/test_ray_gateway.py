"""What the gateway makes of a job's resources, of Ray's errors, and of its environment."""

from __future__ import annotations

from batchchat.cluster.ray_gateway import actor_options, one_line, set_up_own


def test_resources_by_rays_names() -> None:
    """Those with options of their own, and others."""
    assert actor_options({"CPU": 0.5, "GPU": 1, "memory": 2e9, "fast": 1}) == {
        "num_cpus": 0.5,
        "num_gpus": 1,
        "memory": 2e9,
        "resources": {"fast": 1},
    }
    assert actor_options({}) == {"num_cpus": 0, "num_gpus": 0, "resources": {}}


def test_one_line_of_an_error() -> None:
    """Its last line names the cause."""
    assert one_line(RuntimeError("Traceback\n  File x\n\nModuleNotFoundError: No module named 'batchchat'\n ")) == (
        "ModuleNotFoundError: No module named 'batchchat'"
    )
    assert one_line(ValueError()) == "ValueError"


def test_a_ray_of_its_own_is_closed() -> None:
    """A token that nobody knows, loopback, and no cluster that a variable names."""
    environ = {"RAY_ADDRESS": "10.0.0.1:6379", "RAY_AUTH_TOKEN_PATH": "x", "RAY_AUTH_TOKEN": "known", "HOME": "/root"}
    set_up_own(environ)
    token = environ.pop("RAY_AUTH_TOKEN")
    assert len(token) == 64
    assert environ == {
        "HOME": "/root",
        "RAY_AUTH_MODE": "token",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_worker_niceness": "0",
    }
