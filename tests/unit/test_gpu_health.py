"""The doctor on GPUs it never saw: recorded facts in, the right diagnosis and cure out.

The first ten are how a Tesla P4 was not put to work, one attempt after the other.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from face_organizer.facts import Driver, Finding, Gpu, Library, Machine, Trial
from face_organizer.health.diagnose import diagnose
from face_organizer.health.gpu import gpu_findings
from face_organizer.health.versions import BUILDS, build_of, parsed, runs_on

P4 = Gpu("Tesla P4", (6, 1), 8 << 30)
T4 = Gpu("Tesla T4", (7, 5), 16 << 30)
H100 = Gpu("NVIDIA H100 80GB HBM3", (9, 0), 80 << 30)
CUDA_12 = Driver("535.183.01", (12, 2))
CUDA_13 = Driver("580.95.05", (13, 0))
CUDNN_9_10 = Library("libcudnn.so.9", "/site-packages/nvidia/cudnn/lib/libcudnn.so.9.10.2", "9.10.2.21")
DRIVER_35 = (
    "recogniser.onnx does not run on cuda:0: cuda_execution_provider_info.cc:63 CUDAExecutionProviderInfo::FromProvider"
    'Options [ONNXRuntimeError] : 1 : FAIL : Parse Failed to parse provider option "device_id": CUDA failure 35: CUDA '
    "driver version is insufficient for CUDA runtime version ; GPU=-1 ; expr=cudaGetDeviceCount(&num_devices)"
)
"""As 1.31.1 answered, with all of its libraries, before a driver of CUDA 12.2."""

ON_GPU = Trial("cuda:0", nodes={"CUDAExecutionProvider": 113}, libraries=(CUDNN_9_10,))


def machine(gpu: Gpu = P4, driver: Driver = CUDA_12, trial: Trial | None = None, **packages: str) -> Machine:
    named = {name.replace("_", "-"): version for name, version in packages.items()}
    return Machine(
        gpus=(gpu,), driver=driver, device_files=("/dev/nvidia0",), packages=named, trials=(trial,) if trial else ()
    )


def failed(error: str, *libraries: Library) -> Trial:
    return Trial("cuda:0", error, libraries=libraries)


def lacks(library: str, kind: str = "cuda") -> Trial:
    """As onnxruntime-gpu 1.26.0 and 1.31.1 answered on a machine without these libraries."""
    provider = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}[kind]
    return Trial(
        {"cuda": "cuda:0"}.get(kind, kind),
        f"{provider} was asked for and CPUExecutionProvider is active (the loader says: {library}: cannot open shared "
        "object file: No such file or directory): install the [cuda] extra (Pascal cards: [cuda-pascal]) without the "
        'CPU onnxruntime beside it, check the driver with nvidia-smi, or set faces.devices = "auto"',
    )


ATTEMPTS = {
    "1: a CUDA 11 build in a CUDA 12 container": (
        machine(onnxruntime_gpu="1.18.1", nvidia_cuda_runtime_cu12="12.4.127", trial=lacks("libcublasLt.so.11")),
        "cuda_libraries_missing",
        "face-organizer[cuda-pascal]",
    ),
    "2: CUDA 12's libraries linked under CUDA 11's names": (
        replace(
            machine(
                onnxruntime_gpu="1.18.1",
                trial=failed("libonnxruntime_providers_cuda.so: undefined symbol: cublasLt, version libcublasLt.so.11"),
            ),
            links=(("/usr/local/cuda/lib64/libcublasLt.so.11", "/usr/local/cuda/lib64/libcublasLt.so.12.4.5.8"),),
        ),
        "library_links",
        "rm /usr/local/cuda/lib64/libcublasLt.so.11",
    ),
    "3: the CPU package came along with insightface": (
        machine(
            onnxruntime="1.32.0",
            onnxruntime_gpu="1.26.0",
            insightface="2.1",
            nvidia_cudnn_cu12="9.10.2.21",
            trial=Trial("cuda:0", nodes={"CPUExecutionProvider": 113}),
        ),
        "two_runtimes",
        "pip uninstall -y onnxruntime onnxruntime-gpu",
    ),
    "4: the newest build, without code for Pascal": (
        machine(
            onnxruntime_gpu="1.31.1",
            nvidia_cudnn_cu13="9.28.1.4",
            driver=CUDA_13,
            trial=failed("CUDA failure 209: no kernel image is available for execution on the device"),
        ),
        "no_code_for_card",
        "face-organizer[cuda-pascal]",
    ),
    "5: the newest cuDNN, which pip takes by itself": (
        machine(
            onnxruntime_gpu="1.26.0",
            nvidia_cudnn_cu12="9.28.0.5",
            trial=failed("CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED ; GPU=0 ; hostname=box ; expr=cudnnConv"),
        ),
        "cudnn_without_code",
        "nvidia-cudnn-cu12==9.10.2.21",
    ),
    "6: no cuDNN at all": (
        machine(onnxruntime_gpu="1.24.4", trial=lacks("libcudnn.so.9")),
        "cudnn_missing",
        "face-organizer[cuda-pascal]",
    ),
    "6, since it is loaded late: no cuDNN at all": (
        machine(
            H100,
            CUDA_13,
            onnxruntime_gpu="1.31.1",
            trial=failed("cuDNN is unavailable for CUDA Execution Provider: cuDNN library was not found"),
        ),
        "cudnn_missing",
        "face-organizer[cuda]",
    ),
    "7: the container was started without the GPU": (
        Machine(
            container=True,
            devices_wanted="cuda",
            packages={"onnxruntime-gpu": "1.31.1"},
            trials=(lacks("libcuda.so.1"),),
        ),
        "container_without_gpu",
        "docker run --gpus all",
    ),
    "8: a driver older than the CUDA that was built for": (
        machine(T4, onnxruntime_gpu="1.31.1", trial=failed(DRIVER_35)),
        "driver_too_old",
        "face-organizer[cuda12]",
    ),
    "9: TensorRT, which serves no Pascal card": (
        replace(
            machine(onnxruntime_gpu="1.26.0", nvidia_cudnn_cu12="9.10.2.21", trial=ON_GPU), devices_wanted="tensorrt:0"
        ),
        "tensorrt_without_code",
        'devices = "cuda:0"',
    ),
}


def problems(facts: Machine) -> list[Finding]:
    return [finding for finding in gpu_findings(facts) if finding.problem]


@pytest.mark.parametrize(("facts", "name", "cure"), ATTEMPTS.values(), ids=ATTEMPTS)
def test_each_way_a_gpu_was_not_put_to_work_is_told_first_and_with_its_cure(
    facts: Machine, name: str, cure: str
) -> None:
    first, *others = diagnose(facts)

    assert first.name == name
    assert cure in first.cure
    assert first.why
    assert not any(other.problem for other in others if other.name not in ("no_runtime", "no_faiss")), others


@pytest.mark.parametrize(
    "facts",
    [
        machine(onnxruntime_gpu="1.26.0", nvidia_cudnn_cu12="9.10.2.21", trial=ON_GPU),
        machine(onnxruntime_gpu="1.20.2", nvidia_cudnn_cu12="9.5.0.50", trial=ON_GPU),
        machine(H100, CUDA_13, onnxruntime_gpu="1.31.1", nvidia_cudnn_cu13="9.28.0.5", trial=ON_GPU),
        machine(T4, CUDA_12, onnxruntime_gpu="1.26.0", nvidia_cudnn_cu12="9.28.0.5", trial=ON_GPU),
        Machine(packages={"onnxruntime": "1.32.0", "openvino": "2026.4.1"}),
    ],
    ids=["pascal cured", "pascal, older", "hopper", "turing with the newest cuDNN", "no GPU at all"],
)
def test_a_machine_that_works_is_left_alone(facts: Machine) -> None:
    assert problems(facts) == []


def test_a_loaded_cudnn_counts_more_than_the_package_beside_it() -> None:
    other = Library("libcudnn.so.9", "/usr/lib/x86_64-linux-gnu/libcudnn.so.9.14.0", "9.14.0")
    facts = machine(onnxruntime_gpu="1.26.0", nvidia_cudnn_cu12="9.10.2.21", trial=Trial("cuda:0", libraries=(other,)))

    (finding,) = problems(facts)

    assert finding.name == "cudnn_without_code"
    assert other.path in finding.what


def test_code_seen_in_a_cudnn_counts_more_than_its_version() -> None:
    """The library that everybody asks for holds none itself: it hands on to its parts."""
    part = Library("libcudnn_engines_precompiled.so.9", "/site-packages/nvidia/cudnn/lib/libcudnn_engines.so.9")
    bare = replace(part, capabilities=((7, 5), (8, 0), (9, 0)))
    whole = replace(part, capabilities=((5, 0), (6, 0), (9, 0)))

    def told(*libraries: Library) -> list[Finding]:
        trial = Trial("cuda:0", libraries=(CUDNN_9_10, *libraries))
        return problems(machine(onnxruntime_gpu="1.26.0", nvidia_cudnn_cu12="9.10.2.21", trial=trial))

    assert [finding.name for finding in told(bare)] == ["cudnn_without_code"]
    assert told(bare, whole) == []


def test_a_gpu_with_only_the_cpu_package_is_told() -> None:
    (finding,) = problems(machine(H100, CUDA_13, onnxruntime="1.32.0"))

    assert finding.name == "cpu_package_only"
    assert finding.cure == "pip uninstall -y onnxruntime\npip install 'face-organizer[cuda]'"


def test_a_silent_fallback_that_no_rule_explains_is_still_a_problem() -> None:
    facts = machine(H100, CUDA_13, onnxruntime_gpu="1.31.1", trial=Trial("cuda:1", nodes={"CPUExecutionProvider": 113}))

    (finding,) = problems(facts)

    assert (finding.name, finding.what.split(" ran ")[0]) == ("gpu_not_used", "a trial on cuda:1")


@pytest.mark.parametrize(
    ("driver", "changed", "name", "cure"),
    [
        (CUDA_12, {"visible": "-1"}, "gpus_hidden", "unset CUDA_VISIBLE_DEVICES"),
        (CUDA_12, {"denied": ("/dev/nvidia0",)}, "gpu_denied", "usermod -aG video"),
        (CUDA_12, {}, "no_gpu_shown", "nvidia-smi"),
        (None, {}, "no_driver", "apt-get install nvidia-driver"),
        (replace(CUDA_12, problem="CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"), {}, "driver_fails", "sudo reboot"),
        (replace(CUDA_12, problem="CUDA_ERROR_UNKNOWN"), {}, "driver_fails", "modprobe nvidia_uvm"),
        (replace(CUDA_12, problem="CUDA_ERROR_SYSTEM_NOT_READY"), {}, "driver_fails", "nvidia-fabricmanager"),
        (replace(CUDA_12, problem="CUDA's error 4711"), {}, "driver_fails", "nvidia-smi"),
    ],
)
def test_a_card_that_the_driver_does_not_show_is_told_with_the_reason(
    driver: Driver | None, changed: dict[str, object], name: str, cure: str
) -> None:
    facts = Machine(driver=driver, pci_gpus=1, device_files=("/dev/nvidia0",), packages={"onnxruntime-gpu": "1.26.0"})

    (finding,) = problems(replace(facts, **changed))  # type: ignore[arg-type]

    assert finding.name == name
    assert cure in finding.cure


def test_a_card_that_is_asked_for_and_not_there_is_told_with_those_that_are() -> None:
    facts = replace(machine(H100, CUDA_13, onnxruntime_gpu="1.31.1", trial=ON_GPU), devices_wanted="cuda:0,cuda:1")

    (finding,) = problems(facts)

    assert finding.name == "no_such_gpu"
    assert "cuda:1 is asked for, and the driver shows cuda:0 (NVIDIA H100 80GB HBM3)" in finding.what


def test_without_any_card_a_build_for_cards_that_lacks_its_libraries_is_no_problem() -> None:
    (note,) = gpu_findings(Machine(packages={"onnxruntime-gpu": "1.31.1"}, trials=(lacks("libcublasLt.so.13"),)))

    assert (note.name, note.problem) == ("gpu_package_alone", False)


def test_where_only_the_processor_is_to_work_a_fault_of_a_gpu_is_a_note() -> None:
    facts = replace(machine(H100, CUDA_13, onnxruntime="1.32.0"), devices_wanted="openvino,cpu")
    both = replace(facts, packages={"onnxruntime": "1.32.0", "onnxruntime-gpu": "1.31.1"})

    assert [(finding.name, finding.problem) for finding in gpu_findings(facts)] == [("cpu_package_only", False)]
    assert [finding.name for finding in problems(both)] == ["two_runtimes"]


def test_a_tensorrt_that_lacks_its_library_is_told_and_one_that_works_is_not() -> None:
    facts = replace(machine(H100, CUDA_13, onnxruntime_gpu="1.31.1", trial=ON_GPU), devices_wanted="tensorrt")
    lacking = replace(facts, trials=(ON_GPU, lacks("libnvinfer.so.10", "tensorrt")))
    works = replace(facts, trials=(ON_GPU, Trial("tensorrt", nodes={"TensorrtExecutionProvider": 1})))

    (finding,) = problems(lacking)

    assert finding.name == "tensorrt_missing"
    assert "libnvinfer.so.10 is not there" in finding.what
    assert problems(works) == []


def test_what_an_older_driver_runs_is_named_only_where_it_runs_it() -> None:
    old = Driver("470.256.02", (11, 4))
    (finding,) = problems(machine(P4, old, onnxruntime_gpu="1.26.0", nvidia_cudnn_cu12="9.10.2.21"))

    assert finding.name == "driver_too_old"
    assert finding.cure == "apt-get install nvidia-driver   # at least 525.60.13"


@pytest.mark.parametrize(
    ("capability", "cure"),
    [((3, 5), 'devices = "openvino"'), ((5, 2), "onnxruntime-gpu[cuda,cudnn]==1.20.*"), ((7, 0), "[cuda-pascal]")],
)
def test_a_card_older_than_the_profiles_hears_what_serves_it(capability: tuple[int, int], cure: str) -> None:
    (finding,) = problems(machine(Gpu("old", capability), CUDA_13, onnxruntime_gpu="1.31.1"))

    assert finding.name == "no_code_for_card"
    assert cure in finding.cure


def test_an_old_card_for_the_screen_does_not_decide_what_a_new_one_needs() -> None:
    facts = replace(machine(H100, CUDA_13, onnxruntime_gpu="1.31.1"), gpus=(H100, Gpu("GT 710", (3, 5))))

    assert problems(facts) == []


def test_a_cure_calls_the_pip_and_the_scripts_of_this_installation() -> None:
    facts = replace(machine(H100, CUDA_13, onnxruntime="1.32.0"), pip="/opt/fo/.venv/bin/python -m pip")
    checkout = replace(facts, checkout="/opt/fo")

    def cure(of: Machine) -> list[str]:
        return next(finding for finding in diagnose(of) if finding.name == "cpu_package_only").cure.splitlines()

    assert cure(facts) == [
        "/opt/fo/.venv/bin/python -m pip uninstall -y onnxruntime",
        "/opt/fo/.venv/bin/python -m pip install 'face-organizer[cuda]'",
    ]
    assert cure(checkout) == [
        "/opt/fo/.venv/bin/python -m pip uninstall -y onnxruntime",
        "/opt/fo/scripts/setup --anew cuda",
    ]
    on_tensorrt = replace(checkout, devices_wanted="tensorrt", packages={"onnxruntime-gpu": "1.31.1"})
    missing = next(finding for finding in diagnose(on_tensorrt) if finding.name == "tensorrt_missing")
    assert missing.cure == "/opt/fo/.venv/bin/python -m pip install --editable '/opt/fo[tensorrt]'"


def test_a_faiss_for_younger_cards_is_told() -> None:
    facts = machine(onnxruntime_gpu="1.26.0", nvidia_cudnn_cu12="9.10.2.21", faiss_gpu="1.15.1", trial=ON_GPU)

    assert [finding.name for finding in problems(facts)] == ["faiss_without_code"]


@pytest.mark.parametrize(("facts", "kept"), [(machine(T4), "faiss-gpu==1.15.1"), (Machine(), "faiss-cpu==1.15.0")])
def test_two_builds_of_faiss_side_by_side_are_told(facts: Machine, kept: str) -> None:
    both = {"faiss-cpu": "1.15.0", "faiss-gpu": "1.15.1"}

    (finding,) = (each for each in gpu_findings(replace(facts, packages=both)) if each.name == "two_faisses")

    assert finding.problem
    assert finding.cure == f"pip uninstall -y faiss-gpu faiss-cpu\npip install --force-reinstall --no-deps {kept}"


@pytest.mark.parametrize(
    ("version", "capability", "runs"),
    [
        ("1.20.2", (6, 1), True),
        ("1.26.0", (6, 1), True),  # by the code for 6.0
        ("1.26.0", (5, 2), False),
        ("1.26.0", (8, 9), True),  # by the code for 8.6
        ("1.26.0", (12, 0), True),  # compiled by the driver from 9.0
        ("1.27.0", (7, 0), False),
        ("1.31.1", (9, 0), True),
        ("1.31.1", (10, 0), False),
    ],
)
def test_the_table_of_builds_knows_which_card_each_serves(
    version: str, capability: tuple[int, int], runs: bool
) -> None:
    build = build_of(parsed(version))

    assert build is not None
    assert build.runs_on(capability) is runs


def test_native_code_runs_on_its_own_major_version_and_an_equal_or_higher_minor_one() -> None:
    assert runs_on(((6, 0),), (6, 1))
    assert not runs_on(((6, 1),), (6, 0))
    assert not runs_on(((6, 0),), (7, 0))


def test_versions_are_read_as_numbers() -> None:
    assert [parsed(text) for text in ("9.10.2.21", "1.27.0rc1", "1.26.0+cu12", "", "dev")] == [
        (9, 10, 2, 21),
        (1, 27, 0),
        (1, 26, 0),
        (),
        (),
    ]
    assert build_of(()) is None
    assert [build.first for build in BUILDS] == sorted(build.first for build in BUILDS)
