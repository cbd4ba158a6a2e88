"""The files of deploy/, held against what their programs accept: this needs no cloud, no Kubernetes and no SLURM, and
starts no Ray."""

import copy
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import click
import jsonschema
import pytest
import yaml
from documents import blocks

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
CLUSTERS = ["ray-cluster-aws.yaml", "ray-cluster-hosts.yaml"]
PAGES = {
    "aws": "ray-cluster-aws.yaml",
    "hosts": "ray-cluster-hosts.yaml",
    "kubernetes": "rayjob.yaml",
    "slurm": "genlib.sbatch",
}
SBATCH = (DEPLOY / "genlib.sbatch").read_text()

# All keys of a RayJob, and of what stands below those that are used, with their types: ray.io/v1 as in the custom
# resource definitions of KubeRay 1.7.0. "[X]" is a list of X, "strings" a mapping from any names.
KINDS = {
    "RayJob": {"string": "apiVersion kind", "object": "metadata status", "Job": "spec"},
    "Job": {
        "string": "entrypoint entrypointResources jobId managedBy runtimeEnvYAML submissionMode",
        "integer": "activeDeadlineSeconds backoffLimit preRunningDeadlineSeconds ttlSecondsAfterFinished",
        "number": "entrypointNumCpus entrypointNumGpus",
        "boolean": "shutdownAfterJobFinishes suspend",
        "strings": "clusterSelector metadata",
        "object": "deletionStrategy submitterConfig",
        "Cluster": "rayClusterSpec",
        "Template": "submitterPodTemplate",
    },
    "Cluster": {
        "string": "managedBy rayVersion",
        "boolean": "enableInTreeAutoscaling suspend",
        "strings": "headServiceAnnotations",
        "object": "autoscalerOptions gcsFaultToleranceOptions historyServerOptions networkPolicy tlsOptions "
        "upgradeStrategy",
        "Auth": "authOptions",
        "Head": "headGroupSpec",
        "[Workers]": "workerGroupSpecs",
    },
    "Auth": {"string": "secretName", "mode": "mode", "boolean": "enableK8sTokenAuth"},
    "Head": {
        "string": "serviceType",
        "boolean": "enableIngress",
        "strings": "labels rayStartParams resources",
        "object": "headService ingressOptions",
        "Template": "template",
    },
    "Workers": {
        "string": "groupName",
        "integer": "idleTimeoutSeconds maxReplicas minReplicas numOfHosts priority replicas",
        "boolean": "suspend",
        "strings": "labels rayStartParams resources",
        "object": "scaleStrategy",
        "Template": "template",
    },
    "Template": {"object": "metadata", "Pod": "spec"},
    "Pod": {
        "string": "dnsPolicy hostname hostnameOverride nodeName preemptionPolicy priorityClassName restartPolicy "
        "runtimeClassName schedulerName serviceAccount serviceAccountName subdomain",
        "integer": "activeDeadlineSeconds priority terminationGracePeriodSeconds",
        "boolean": "automountServiceAccountToken enableServiceLinks hostIPC hostNetwork hostPID hostUsers "
        "setHostnameAsFQDN shareProcessNamespace",
        "strings": "nodeSelector",
        "object": "affinity dnsConfig os overhead resources schedulingGroup securityContext",
        "array": "ephemeralContainers hostAliases imagePullSecrets readinessGates resourceClaims schedulingGates "
        "tolerations topologySpreadConstraints",
        "[Container]": "containers initContainers",
        "[Volume]": "volumes",
    },
    "Container": {
        "string": "image imagePullPolicy name restartPolicy terminationMessagePath terminationMessagePolicy workingDir",
        "boolean": "stdin stdinOnce tty",
        "[string]": "args command",
        "object": "lifecycle livenessProbe readinessProbe securityContext startupProbe",
        "array": "envFrom resizePolicy restartPolicyRules volumeDevices",
        "[Variable]": "env",
        "[Port]": "ports",
        "[Mount]": "volumeMounts",
        "Resources": "resources",
    },
    "Variable": {"string": "name value", "From": "valueFrom"},
    "From": {"object": "configMapKeyRef fieldRef fileKeyRef resourceFieldRef", "SecretKey": "secretKeyRef"},
    "SecretKey": {"string": "key name", "boolean": "optional"},
    "Port": {"string": "hostIP name protocol", "integer": "containerPort hostPort"},
    "Mount": {
        "string": "mountPath mountPropagation name recursiveReadOnly subPath subPathExpr",
        "boolean": "readOnly",
    },
    "Resources": {"array": "claims", "quantities": "limits requests"},
    "Volume": {
        "string": "name",
        "object": "awsElasticBlockStore azureDisk azureFile cephfs cinder configMap csi downwardAPI emptyDir ephemeral "
        "fc flexVolume flocker gcePersistentDisk gitRepo glusterfs hostPath image iscsi nfs photonPersistentDisk "
        "portworxVolume projected quobyte rbd scaleIO secret storageos vsphereVolume",
        "Claim": "persistentVolumeClaim",
    },
    "Claim": {"string": "claimName", "boolean": "readOnly"},
}
REQUIRED = {
    "RayJob": "apiVersion kind metadata spec",
    "Cluster": "headGroupSpec",
    "Head": "template",
    "Workers": "groupName maxReplicas minReplicas template",
    "Pod": "containers",
    "Container": "name",
    "Variable": "name",
    "SecretKey": "key",
    "Port": "containerPort",
    "Mount": "mountPath name",
    "Volume": "name",
    "Claim": "claimName",
}
QUANTITY = r"^[+-]?(\d+(\.\d*)?|\.\d+)(([KMGTPE]i)|[numkMGTPE]|([eE][+-]?(\d+(\.\d*)?|\.\d+)))?$"
SHAPES = {
    "strings": {"type": "object", "additionalProperties": {"type": "string"}},
    "quantities": {
        "type": "object",
        "additionalProperties": {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": QUANTITY}]},
    },
    "mode": {"enum": ["disabled", "token"]},
}

# The long options of sbatch(1), SLURM 22.05.
OPTIONS = """
account acctg-freq array batch bb bbf begin chdir cluster-constraint clusters comment constraint container
contiguous core-spec cores-per-socket cpu-freq cpus-per-gpu cpus-per-task deadline delay-boot dependency
distribution error exclude exclusive export export-file extra-node-info get-user-env gid gpu-bind gpu-freq gpus
gpus-per-node gpus-per-socket gpus-per-task gres gres-flags help hint hold ignore-pbs input job-name
kill-on-invalid-dep licenses mail-type mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus network nice
no-kill no-requeue nodefile nodelist nodes ntasks ntasks-per-core ntasks-per-gpu ntasks-per-node ntasks-per-socket
open-mode output overcommit oversubscribe parsable partition power prefer priority profile propagate qos quiet
reboot requeue reservation signal sockets-per-node spread-job switches test-only thread-spec threads-per-core time
time-min tmp uid usage use-min-nodes verbose version wait wait-all-nodes wckey wrap
"""


FREE = {
    "rayStartParams",
    "limits",
    "requests",
    "metadata",
    "file_mounts",
    "node_config",
}  # what stands below has names of its own


def load(name):
    return yaml.safe_load((DEPLOY / name).read_text())


def keys(value, path=()):
    """The paths of all keys in a document, list positions among them; what is free to be named is left out."""
    if isinstance(value, list):
        for position, item in enumerate(value):
            yield from keys(item, (*path, position))
    elif isinstance(value, dict) and (not path or path[-1] not in FREE):
        for key, below in value.items():
            yield (*path, key)
            yield from keys(below, (*path, key))


def one_of_each(document):
    """A path of every key, one for all items of a list."""
    paths = {".".join(step for step in path if isinstance(step, str)): path for path in keys(document)}
    return [pytest.param(path, id=name) for name, path in paths.items()]


def misspelt(document, path):
    """A copy in which the key at the end of `path` has one letter too many."""
    changed = copy.deepcopy(document)
    holder = changed
    for step in path[:-1]:
        holder = holder[step]
    holder[f"{path[-1]}s"] = holder.pop(path[-1])
    return changed


# Ray's cluster launcher


def check_cluster(config):
    """What `ray up` does to a file before it asks a cloud or a host anything."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(copy.deepcopy(config)))


@pytest.mark.parametrize("name", CLUSTERS)
def test_ray_accepts_the_cluster(name):
    check_cluster(load(name))


UNCHECKED = {"provider.region", "provider.availability_zone", "provider.cache_stopped_nodes"}  # left to the provider


@pytest.mark.parametrize(
    ("name", "path"),
    [
        pytest.param(name, *case.values, id=f"{name}-{case.id}")
        for name in CLUSTERS
        for case in one_of_each(load(name))
        if case.id not in UNCHECKED and not re.fullmatch(r"available_node_types\.\w+", case.id)
    ],
)
def test_ray_refuses_a_misspelt_key(name, path):
    with pytest.raises((jsonschema.ValidationError, click.ClickException, KeyError, ValueError)):
        check_cluster(misspelt(load(name), path))


def starts(name):
    """The commands of a cluster file that start Ray: of the head, of a worker."""
    config = load(name)
    found = [
        command
        for role in ("head", "worker")
        for command in config[f"{role}_start_ray_commands"]
        if "ray start" in command
    ]
    assert len(found) == 2
    return found


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_ray_asks_for_the_token_and_reports_no_usage(name):
    for command in starts(name):
        before = command[: command.index("ray start")]
        for setting in ("RAY_AUTH_MODE=token", "RAY_USAGE_STATS_ENABLED=0", "RAY_enable_metrics_collection=0"):
            assert setting in before
    assert load(name)["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_dashboard_is_on_loopback_of_the_head(name):
    head, worker = starts(name)
    assert "--head" in head and "--dashboard-host=127.0.0.1" in head and "--dashboard-host" not in worker


@pytest.mark.parametrize("name", CLUSTERS)
def test_the_environment_is_the_locked_one(name):
    config = load(name)
    assert "make -C /shared/genlib setup" in config["head_setup_commands"]
    assert all("PATH=/shared/genlib/.venv/bin:" in command for command in starts(name))


@pytest.mark.parametrize("name", [*CLUSTERS, "genlib.sbatch"])
def test_ray_start_has_all_the_options_it_is_given(name):
    from ray.scripts.scripts import start

    legal = {option for parameter in start.params for option in parameter.opts}
    text = (
        "\n".join(starts(name)) if name in CLUSTERS else SBATCH[SBATCH.index("ray start") : SBATCH.index("until ray")]
    )
    srun = {"--ntasks-per-node", "--cpus-per-task", "--output", "--nodes", "--ntasks", "--nodelist"}
    given = set(re.findall(r"(?<!\w)--[a-z-]+", text)) - (set() if name in CLUSTERS else srun)
    assert len(given) > 5 and given <= legal


# KubeRay


def schema(kind):
    """The JSON schema of a kind of KINDS: its keys and no others."""
    properties = {key: typed(of) for of, names in KINDS[kind].items() for key in names.split()}
    required = REQUIRED.get(kind, "").split()
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def typed(of):
    if of.startswith("["):
        return {"type": "array", "items": typed(of[1:-1])}
    return {"$ref": f"#/$defs/{of}"} if of in KINDS else SHAPES.get(of, {"type": of})


def check_job(document, kind="RayJob"):
    everything = schema(kind) | {"$defs": {name: schema(name) for name in KINDS}}
    jsonschema.Draft202012Validator(everything).validate(document)


def containers(job):
    """Those of the submitter, the head (what prepares it first), and the workers, with the volumes of their pod."""
    cluster = job["spec"]["rayClusterSpec"]
    templates = [job["spec"]["submitterPodTemplate"], cluster["headGroupSpec"]["template"]]
    templates += [group["template"] for group in cluster["workerGroupSpecs"]]
    for pod in (template["spec"] for template in templates):
        for container in pod.get("initContainers", []) + pod["containers"]:
            yield container, pod["volumes"]


def test_kuberay_accepts_the_job():
    job = load("rayjob.yaml")
    check_job(job)
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")


@pytest.mark.parametrize("path", one_of_each(load("rayjob.yaml")))
def test_kuberay_refuses_a_misspelt_key(path):
    with pytest.raises(jsonschema.ValidationError):
        check_job(misspelt(load("rayjob.yaml"), path))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "backoffLimit"), "two"),
        (("spec", "rayClusterSpec", "authOptions", "mode"), "tokens"),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "replicas"), "2"),
        (("spec", "submitterPodTemplate", "spec", "containers", 0, "env", 1, "value"), 0),
        (("spec", "submitterPodTemplate", "spec", "containers", 0, "resources", "limits", "memory"), "1 GB"),
    ],
)
def test_kuberay_refuses_a_value_of_another_type(path, value):
    job = load("rayjob.yaml")
    holder = job
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        check_job(job)


def test_every_container_has_the_token_and_no_telemetry():
    job = load("rayjob.yaml")
    secret = job["spec"]["rayClusterSpec"]["authOptions"]["secretName"]
    for container, _ in containers(job):
        env = {variable["name"]: variable for variable in container["env"]}
        assert env["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": secret, "key": "auth_token"}
        told = {name: variable["value"] for name, variable in env.items() if "value" in variable}
        off = {"RAY_USAGE_STATS_ENABLED": "0", "DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
        off |= {"RAY_enable_metrics_collection": "0"}
        assert (off | {"RAY_AUTH_MODE": "token", "DO_NOT_TRACK": "1"}).items() <= told.items()
        assert container["resources"].keys() == {"requests", "limits"}


def test_every_pod_has_the_checkout_at_the_same_path():
    job = load("rayjob.yaml")
    command, option, folder, *_ = job["spec"]["entrypoint"].split()
    assert (command, option) == ("make", "-C") and not set(job["spec"]["entrypoint"]) & set("&;|")
    seen = {repr((container["volumeMounts"], volumes)) for container, volumes in containers(job)}
    assert len(seen) == 1
    for container, volumes in containers(job):
        ((mount,), (volume,)) = container["volumeMounts"], volumes
        assert mount["name"] == volume["name"] and folder.startswith(f"{mount['mountPath']}/")
        path = next(variable["value"] for variable in container["env"] if variable["name"] == "PATH")
        assert path.startswith(f"{folder}/.venv/bin:")


def test_the_ray_version_is_the_locked_one():
    (locked,) = re.findall(r"^ray==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    job = load("rayjob.yaml")["spec"]
    assert job["rayClusterSpec"]["rayVersion"] == locked and job["shutdownAfterJobFinishes"]


def test_the_claim_and_the_pod_of_the_page_are_those_that_the_job_needs():
    (text,) = (block.text for block in blocks(ROOT / "docs/deploy/kubernetes.md") if block.language == "yaml")
    claim, pod = yaml.safe_load_all(text)
    check_job(pod["spec"], "Pod")
    ((container, volumes), *_) = containers(load("rayjob.yaml"))
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["metadata"]["name"] == volumes[0]["persistentVolumeClaim"]["claimName"]
    assert pod["spec"]["volumes"] == volumes
    assert [(each["image"], each["volumeMounts"]) for each in pod["spec"]["containers"]] == [
        (container["image"], container["volumeMounts"])
    ]


# SLURM


def unknown_options(script):
    found = re.findall(r"^#SBATCH\s+(\S+?)(?:=.*)?$", script, re.MULTILINE)
    return [option for option in found if not option.startswith("--") or option[2:] not in OPTIONS.split()]


def test_sbatch_has_all_the_options_it_is_given():
    assert SBATCH.count("#SBATCH --") >= 8 and not unknown_options(SBATCH)


@pytest.mark.parametrize(
    "option", [line.split()[1].split("=")[0] for line in SBATCH.splitlines() if "#SBATCH --" in line]
)
def test_a_misspelt_option_of_sbatch_is_seen(option):
    assert unknown_options(SBATCH.replace(f"#SBATCH {option}", f"#SBATCH {option}s")) == [f"{option}s"]


def parses(script):
    return subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True).returncode == 0


def test_bash_reads_the_script():
    assert parses(SBATCH) and not parses(SBATCH.replace("\nfi\n", "\n", 1))


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck_finds_nothing():
    done = subprocess.run(["shellcheck", DEPLOY / "genlib.sbatch"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_only_what_the_script_started_is_ended():
    assert not re.search(r"ray stop|pkill|killall", SBATCH)


STAND_INS = {
    "bin/scontrol": "printf 'node1\\nnode2\\n'",
    "bin/sleep": "exec /bin/sleep 0.02",
    "bin/srun": """
echo "srun $*" >>"$LOG"
while [[ $1 == --* ]]; do shift; done
RAY_TEMP="$HOME/node-$$" exec "$@"
""",
    "bin/make": """
echo "make $* $RAY_ADDRESS $(cat "$RAY_AUTH_TOKEN_PATH") $(stat -c %a "$RAY_AUTH_TOKEN_PATH") $$" >>"$LOG"
[ -z "${HANG:-}" ] || exec /bin/sleep 60
exit "${CODE:-0}"
""",
    "checkout/.venv/bin/python": """
case "$2" in
*secrets*) printf secret ;;
*get_node_ip*) echo 192.0.2.1 ;;
*) grep -c "^ray start" "$LOG" ;;
esac
""",
    "checkout/.venv/bin/ray": """
case "$*" in
health-check*) exec grep -q "^ray start.* --head" "$LOG" ;;
*--address*) [ -z "${BROKEN:-}" ] || exit 1 ;;
esac
echo "ray $* $RAY_AUTH_MODE $RAY_USAGE_STATS_ENABLED $(stat -c %a "$RAY_TEMP")" >>"$LOG"
trap 'echo "ended" >>"$LOG"; exit' TERM
while :; do /bin/sleep 0.02; done
""",
}


@pytest.fixture
def allocation(tmp_path):
    """Two nodes of a SLURM that is played by small scripts: runs the batch script, and gives its process."""
    for name, body in STAND_INS.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/usr/bin/env bash\n{body}\n")
        path.chmod(0o755)
    (tmp_path / "log").touch()
    slurm = {
        "SUBMIT_DIR": tmp_path / "checkout",
        "JOB_ID": 7,
        "JOB_NUM_NODES": 2,
        "JOB_NODELIST": "n",
        "CPUS_PER_TASK": 3,
    }
    env = {f"SLURM_{name}": str(value) for name, value in slurm.items()}
    env |= {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    started = []

    def sbatch(*arguments, **settings):
        command = ["bash", DEPLOY / "genlib.sbatch", *arguments]
        env_of_all = env | {"LOG": str(tmp_path / "log")} | settings
        started.append(subprocess.Popen(command, env=env_of_all, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield sbatch
    for process in started:
        process.kill()
        process.communicate()


def heard(folder, what):
    return [line for line in (folder / "log").read_text().splitlines() if line.startswith(what)]


def nothing_is_left(folder):
    return not [*folder.glob("node-*"), *folder.glob("checkout/.genlib/*.token")]


@pytest.mark.parametrize("code", [0, 2])
def test_the_script_starts_ray_runs_make_and_ends_ray(allocation, tmp_path, code):
    process = allocation("PRESET=smoke", "SET=train.seed=1", CODE=str(code))
    _, error = process.communicate(timeout=30)
    assert process.returncode == code, error
    head, worker = heard(tmp_path, "ray start")
    assert "--head" in head and "--dashboard-host=127.0.0.1" in head and "--port=20028 " in head
    assert "--address=192.0.2.1:20028" in worker and "--head" not in worker
    assert all(line.endswith(" token 0 700") and " --num-cpus=3 " in line for line in (head, worker))
    assert ["--nodelist=node1" in line for line in heard(tmp_path, "srun")] == [True, False]
    (made,) = heard(tmp_path, "make")
    assert made.startswith("make repro PRESET=smoke SET=train.seed=1 192.0.2.1:20028 secret 600 ")
    assert len(heard(tmp_path, "ended")) == 2 and nothing_is_left(tmp_path)


def test_a_script_that_is_told_to_end_ends_all_that_it_started(allocation, tmp_path):
    process = allocation(HANG="1")
    end = time.monotonic() + 30
    while not heard(tmp_path, "make"):
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 143, error
    assert len(heard(tmp_path, "ended")) == 2 and nothing_is_left(tmp_path)
    assert not Path("/proc", heard(tmp_path, "make")[0].split()[-1]).exists()


def test_a_node_on_which_ray_does_not_start_is_told(allocation, tmp_path):
    process = allocation(BROKEN="1")
    _, error = process.communicate(timeout=30)
    assert process.returncode == 1 and "Ray did not start on a node" in error
    assert not heard(tmp_path, "make") and len(heard(tmp_path, "ended")) == 1 and nothing_is_left(tmp_path)


def test_a_folder_without_the_environment_is_refused(allocation, tmp_path):
    process = allocation(SLURM_SUBMIT_DIR=str(tmp_path))
    _, error = process.communicate(timeout=30)
    assert process.returncode == 2 and len(error.splitlines()) == 1 and ".venv, expected" in error


# The pages


@pytest.mark.parametrize(("page", "name"), PAGES.items())
def test_each_page_says_first_what_was_not_tried(page, name):
    title, first = filter(None, (ROOT / f"docs/deploy/{page}.md").read_text().split("\n")[:4])
    assert title.startswith("# ") and re.match(r"Validated against .*; not run on ", first)
    text = (ROOT / f"docs/deploy/{page}.md").read_text()
    assert f"deploy/{name}" in text and all(f"`{part}`" in text for part in ("data/", "runs/", ".genlib/"))


def test_each_file_has_a_page():
    assert {path.name for path in DEPLOY.iterdir()} == set(PAGES.values())
