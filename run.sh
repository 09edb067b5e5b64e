#!/usr/bin/env bash
# PoWER-BERT: fine-tune a BERT, find how many word-vectors each of its blocks needs, re-train it with only those.
#
#   bash run.sh                 the whole run with the settings below (sets up an environment of its own the first time)
#   bash run.sh COMMAND …       any other command in the same environment
#   bash run.sh test            ruff, mypy and the tests
#   bash run.sh --help          all settings, commands and examples
set -euo pipefail

set -a # every setting is exported: the Python program reads them from the environment
# === Settings. Edit them here, or give them in the environment: TASK=mrpc EPOCH=4 bash run.sh ===
# Empty means the default that the comment names. A relative path counts from the folder in which you call run.sh.

# GLUE task: cola, sst-2, mrpc, sts-b, qqp, mnli-m, mnli-mm, qnli, rte or wnli. Others: emotion, massive, 20newsgroups.
# custom: your own data; see TEXT_COLUMNS below.
TASK="${TASK-cola}"

# Folder with the task's train.tsv, dev.tsv and test.tsv, such as glue_data/CoLA (`bash run.sh download cola`), or the
# name of a data set of TensorFlow Datasets, such as tfds:glue/cola.
# Empty: a small generated data set, glue_data/sample/acceptability, for cola; where download puts it for the others.
DATA_DIR="${DATA_DIR-}"

# Pretrained BERT: TF1 checkpoint (…/bert_model.ckpt), Hugging Face folder, keras-hub preset or hf://owner/name.
# Empty: checkpoints/all-MiniLM-L6-v2, fetched on first use (90 MB).
CHECKPOINT_PATH="${CHECKPOINT_PATH-}"

# WordPiece vocabulary (vocab.txt). Empty: the one beside the checkpoint.
VOCAB_PATH="${VOCAB_PATH-}"

# Configuration of the BERT (bert_config.json). Empty: the one beside the checkpoint.
BERT_CONFIG_PATH="${BERT_CONFIG_PATH-}"

# Folder of the run: models, predictions, metrics, log.
# Empty: checkpoints/runs/TASK/NAME, named after the data and the checkpoint; other settings get a NAME-2, and so on.
OUTPUT_DIR="${OUTPUT_DIR-}"

# Epochs of fine-tuning and of re-training, each: 1 to 1000.
EPOCH="${EPOCH-3}"

# Examples of a training batch: 1 to 4096. Empty: the task's own, for GLUE the paper's (cola 32).
BATCH_SIZE="${BATCH_SIZE-}"

# How far an average retention parameter moves in one update of the search, up to 1; usual 1e-4 to 1e-2. They go
# from 1 (kept) to 0 (eliminated), so this and the number of updates decide how much can be eliminated.
# Empty: the task's own, for GLUE the paper's (cola 1.5e-3); 3e-3 for the embedded sample. SPEEDUP raises it where needed.
LR_SOFT_EXTRACT="${LR_SOFT_EXTRACT-}"

# Peak learning rate of all other weights, up to 0.1; usual 2e-5 to 6e-5.
# Empty: the task's own, for GLUE the paper's (cola 2e-5); 1e-4 for the embedded sample. Small models want more: 1e-4.
LR_BERT="${LR_BERT-}"

# Weight λ of the regulariser in the search, 0 to 10; usual 1e-4 to 7e-3; a larger one keeps fewer word-vectors.
# Empty: the task's own, for GLUE the paper's (cola 7e-3).
LAMBDA="${LAMBDA-}"

# How many times fewer floating-point operations the search is to arrive at, 1.05 to 100; usual 1.5 to 4.
# Empty: LAMBDA decides. With a number, LAMBDA is not used.
SPEEDUP="${SPEEDUP-}"

# --- Further knobs: the defaults are fine for most runs ---

# Word pieces of an example, 5 to 4096; longer examples are cut. Empty: the task's own, for GLUE the paper's (cola 64).
MAX_LENGTH="${MAX_LENGTH-}"

# Of initialisation, order and dropout: a whole number from 0.
SEED="${SEED-0}"

# Training examples to use, chosen at random, the same for every seed: a whole number from 1. Empty: all.
TRAIN_EXAMPLES="${TRAIN_EXAMPLES-}"

# Whether the vocabulary is cased: 1, 0, or auto (as the checkpoint says).
CASED="${CASED-auto}"

# Similarity of the attention: dot, cosine, euclidean or gaussian. Empty: as the checkpoint was pre-trained, which is
# dot for all but those of `bash run.sh pretrain --similarity …`.
SIMILARITY="${SIMILARITY-}"

# How the search fades word-vectors out: visibility (nobody attends to them) or scale (multiplied, as in the paper).
GATE="${GATE-visibility}"

# What the search counts: fraction (shares of each example's own length) or tokens (word-vectors, as in the paper).
RETENTION_UNIT="${RETENTION_UNIT-fraction}"

# What the search learns in each block: step (the share of its words to keep) or free (a parameter for each rank of
# significance, as in the paper; they can sink together at no cost, and hard extraction then loses more).
RETENTION_PROFILE="${RETENTION_PROFILE-step}"

# How much re-training shakes the significance of words before it chooses which to keep: 0 (not at all) to 2. With 0.3
# a model hangs less on that choice, which rounding to 8 bits can turn: for `export --quantize int8`. It can cost a
# point or more where few words are kept. Empty: 0.
RETENTION_JITTER="${RETENTION_JITTER-}"

# Of a task of your own (TASK=custom; train, dev and test in DATA_DIR as .tsv, .csv or .jsonl; test may be missing):
# the column of the texts, or of both texts of a pair with a comma between them. Empty: sentence.
TEXT_COLUMNS="${TEXT_COLUMNS-}"

# Of a task of your own: the column of the labels or scores. Empty: label.
LABEL_COLUMN="${LABEL_COLUMN-}"

# Of a task of your own: its labels, with commas between them. Empty: those of the training data, sorted.
LABELS="${LABELS-}"

# Of a task of your own: what picks the best epoch: accuracy or macro_f1; spearman or pearson if the labels are scores
# (of any range). Empty: accuracy.
METRIC="${METRIC-}"

# Epochs of the search: 1 to 1000. Empty: as EPOCH.
SEARCH_EPOCH="${SEARCH_EPOCH-}"

# Share of a phase's updates in which the learning rate rises: 0 to 0.99.
WARMUP="${WARMUP-0.1}"

# Decoupled weight decay: 0 to 1.
WEIGHT_DECAY="${WEIGHT_DECAY-0.01}"

# Dropout rate of hidden states and attention: 0 to 0.9. Empty: the checkpoint's.
DROPOUT="${DROPOUT-}"

# Retention configuration of phase 3: 64,48,… (word-vectors of each block) or 1.0,0.8,… (shares of each example's
# words), or a retention.json. Phase 2 (the search) is left out then, and phase 3 starts from the fine-tuned weights.
# With EVAL_ONLY or PREDICT_ONLY: what the model keeps; none keeps everything. Empty: searched, or as the model has it.
RETENTION_CONFIG="${RETENTION_CONFIG-}"

# 1: also trains the baseline that elimination is compared with: fine-tuning that goes on, with nothing eliminated, for as
# many epochs as search and re-training take. Also of a finished run. 0: not.
BASELINE="${BASELINE-0}"

# Whether phases 1 and 3 write predictions of the test data in GLUE's form: 1 or 0.
PRED_GLUE="${PRED_GLUE-1}"

# 1: train nothing, score on dev what is trained: the run in OUTPUT_DIR, or a CHECKPOINT_PATH with a head.
EVAL_ONLY="${EVAL_ONLY-0}"

# 1: train nothing, write predictions of the test data into OUTPUT_DIR/predictions; the model is that of EVAL_ONLY.
PREDICT_ONLY="${PREDICT_ONLY-0}"

# What computes: tensorflow or jax (which is installed when asked for).
BACKEND="${BACKEND-${KERAS_BACKEND:-tensorflow}}"

# CPU threads, a whole number from 1. Empty: all cores.
THREADS="${THREADS-}"

# Whether an interrupted run goes on where it stopped: 1, or 0 to start it anew.
RESUME="${RESUME-1}"

# === End of the settings ===
set +a

# Another Python's settings must not reach this project's own environment.
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP

# The folder of this file, also where it is called through a symbolic link.
script="${BASH_SOURCE[0]}"
while [[ -L $script ]]; do
  link="$(readlink "$script")"
  [[ $link == /* ]] || link="$(dirname "$script")/$link"
  script="$link"
done
root="$(cd -P "$(dirname "$script")" >/dev/null && pwd)"
script="$root/$(basename "$script")"

# The environment: POWER_BERT_VENV moves it; EXTRAS="parity jax" adds optional dependencies of pyproject.toml.
venv="${POWER_BERT_VENV:-$root/.venv}"
[[ $venv == /* ]] || venv="$PWD/$venv"
python="$venv/bin/python"
stamp="$venv/power-bert-installed"      # what was installed; written last, so that a killed installation has none
unfinished="$venv/power-bert-unfinished" # there while pip is writing

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "run.sh: $*"
  exit 1
}

# --- Installing ---

sha256() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi
}

# First line of the stamp: the requirements' hash and the version of Python.
fingerprint() {
  local hash version
  hash="$(cd "$root" && cat requirements.txt requirements.lock tests/requirements.lock pyproject.toml | sha256)"
  version="$("$python" -c 'import sys; print("{}.{}".format(*sys.version_info))' 2>/dev/null || true)"
  printf '%s %s\n' "${hash%% *}" "$version"
}

# Whether the stamp fits, with all extras given: then pip is not called, and no network is needed.
environment_is_ready() {
  local extra installed_fingerprint installed_extras
  [[ -x $python && -f $stamp ]] || return 1
  { read -r installed_fingerprint && read -r installed_extras; } <"$stamp" || return 1
  [[ $installed_fingerprint == "$(fingerprint)" ]] || return 1
  for extra in "$@"; do
    [[ " $installed_extras " == *" $extra "* ]] || return 1
  done
}

is_supported() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

find_python() {
  local candidate
  for candidate in python3.11 python3 python3.12 python3.13; do
    if is_supported "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  say "run.sh: found no Python 3.11, 3.12 or 3.13 (python3 is: $(python3 --version 2>&1 || true))."
  say "Install one, with its venv module (Debian, Ubuntu: apt install python3.11 python3.11-venv; macOS: brew install" \
    "python@3.11), and call run.sh again."
  return 1
}

# The packages of the extras given, one a line; those of "test" are locked in tests/requirements.lock.
extra_requirements() {
  "$python" - "$root/pyproject.toml" "$@" <<'PY'
import sys
import tomllib

path, *wanted = sys.argv[1:]
with open(path, "rb") as file:
    extras = tomllib.load(file)["project"]["optional-dependencies"]
if unknown := [name for name in wanted if name not in extras]:
    sys.exit(f"run.sh: EXTRAS: {', '.join(unknown)} unknown; there are {', '.join(extras)}")
sys.stdout.writelines(sorted({f"{package}\n" for name in wanted if name != "test" for package in extras[name]}))
PY
}

# Says what failed, with the last lines of the log, and what to do; ends run.sh.
setup_failed() {
  local what="$1" log="$2"
  say "run.sh: setting up the environment failed: $what. The last lines of the output:"
  tail -n 15 "$log" | sed 's/^/    /' >&2
  say "Please check
  - the network: packages are downloaded with pip; behind a proxy, set HTTPS_PROXY;
  - the disk: about 5 GB are needed; free for $venv: $(df -Ph "$(dirname "$venv")" | awk 'NR == 2 { print $4 }');
  - Python: 3.11, 3.12 or 3.13 with its venv module; used: $("$python" --version 2>&1 || true).
Then call run.sh again; it goes on with what is missing."
  exit 1
}

# Installs packages, with uv where it is there; what stands in a lock file is installed in that version, hash for hash.
install_packages() {
  if command -v uv >/dev/null &&
    uv pip install --python "$python" ${force:+--reinstall} "$@" >>"$work/log" 2>&1 </dev/null; then return; fi
  "$python" -m pip install --no-input --disable-pip-version-check --progress-bar off \
    ${force:+--force-reinstall} "$@" >>"$work/log" 2>&1 </dev/null
}

install_locked_packages() {
  local lock="$root/requirements.lock"
  if [[ " $* " == *" test "* ]]; then lock="$root/tests/requirements.lock"; fi
  install_packages --require-hashes -r "$lock" || return
  if [[ -s $work/extras.txt ]]; then install_packages -r "$root/requirements.txt" -r "$work/extras.txt"; fi
}

install_environment() {
  local base started=$SECONDS force=""
  if [[ -f $stamp ]]; then
    say "Updating the environment in $venv to the requirements …"
  else
    say "Setting up the environment in $venv (about 3 minutes the first time) …"
  fi
  work="$(mktemp -d)"
  trap 'rm -rf "$work"' EXIT
  trap 'say "run.sh: stopped; the next call goes on."; exit 130' INT
  if ! "$python" -m pip --version >/dev/null 2>&1; then
    base="$(find_python)"
    "$base" -m venv "$venv" >"$work/log" 2>&1 || setup_failed "$base could not make a virtual environment" "$work/log"
  fi
  is_supported "$python" ||
    fail "$venv has $("$python" --version 2>&1): expected 3.11, 3.12 or 3.13; set POWER_BERT_VENV to another folder"
  extra_requirements "$@" >"$work/extras.txt"
  # A killed pip can leave a package half written that it later takes for installed: then write all of them anew.
  if [[ -e $unfinished ]]; then force=1; fi
  : >"$unfinished"
  if ! install_locked_packages "$@"; then
    # It failed before it wrote anything: nothing is half written.
    grep -q "^Installing collected packages" "$work/log" || rm -f "$unfinished"
    setup_failed "pip could not install the requirements" "$work/log"
  fi
  { fingerprint && printf '%s\n' "$*"; } >"$work/stamp"
  cp "$work/stamp" "$stamp.partial" && mv "$stamp.partial" "$stamp"
  rm -rf "$work" "$unfinished"
  trap - EXIT INT
  say "The environment is ready ($((SECONDS - started)) s)."
}

# Makes the environment where it is missing or old; of several run.sh at once, one does it and the others wait.
prepare_environment() {
  local extras="${EXTRAS-} $*"
  if [[ $BACKEND == jax ]]; then extras="$extras jax"; fi
  # shellcheck disable=SC2086 # words, separated by spaces or commas
  set -- ${extras//,/ }
  if environment_is_ready "$@"; then return; fi
  [[ $venv != *:* ]] || fail "the environment cannot lie in $venv, a path with ':'; set POWER_BERT_VENV to another folder"
  if ! { mkdir -p "$(dirname "$venv")" && : >>"$venv.lock"; } 2>/dev/null; then
    fail "the environment $venv cannot be made (no permission to write there); set POWER_BERT_VENV to another folder"
  fi
  exec 9>>"$venv.lock"
  if command -v flock >/dev/null && ! flock -n 9; then
    say "Another run.sh is setting up the environment; waiting for it …"
    flock 9
  fi
  if ! environment_is_ready "$@"; then
    # Extras that are there already stay listed.
    if [[ -f $stamp && "$(head -n 1 "$stamp")" == "$(fingerprint)" ]]; then
      # shellcheck disable=SC2046 # words
      set -- $(printf '%s\n' "$@" $(tail -n 1 "$stamp") | sort -u)
    fi
    install_environment "$@"
  fi
  exec 9>&-
}

# --- Running ---

set_environment() {
  BACKEND="${BACKEND:-tensorflow}"
  local variable=BACKEND
  if [[ $BACKEND == "${KERAS_BACKEND-}" ]]; then variable=KERAS_BACKEND; fi
  [[ $BACKEND == tensorflow || $BACKEND == jax ]] ||
    fail "$variable=$BACKEND is unknown: expected tensorflow or jax"
  [[ -z $THREADS || $THREADS =~ ^[1-9][0-9]*$ ]] ||
    fail "THREADS=$THREADS: expected a whole number from 1, or nothing for all cores"
  export KERAS_BACKEND="$BACKEND"
  if [[ -n $THREADS ]]; then
    export OMP_NUM_THREADS="$THREADS" TF_NUM_INTRAOP_THREADS="$THREADS" TF_NUM_INTEROP_THREADS="$THREADS"
    export PJRT_NPROC="$THREADS" # JAX on CPU
  fi
  export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-3}" GRPC_VERBOSITY="${GRPC_VERBOSITY:-ERROR}"
  export PYTHONUTF8=1
  # Tensors come and go with every operation. By default, glibc hands the memory of large ones back to the system each
  # time and gets it anew, page by page, which costs a third of a training step. Other C libraries ignore this.
  local malloc="" setting
  for setting in hugetlb=1 mmap_max=0 top_pad=67108864 trim_threshold=8589934592; do
    malloc="$malloc:glibc.malloc.$setting"
  done
  export GLIBC_TUNABLES="${GLIBC_TUNABLES-${malloc#:}}"
  export POWER_BERT_PROGRAM="bash run.sh"
}

# The block of settings above: "names", or "help" with their present values and comments.
settings() {
  awk -v form="$1" '
    /^# === End/ { exit }
    /^# === Settings/ { inside = 1; next }
    !inside { next }
    /^# ---/ { comment = ""; if (form == "help") print "Further knobs:\n"; next }
    /^# / { comment = comment "      " substr($0, 3) "\n"; next }
    /^[A-Z_]+=/ {
      name = $0; sub(/=.*/, "", name)
      if (form == "names") print name
      else printf "  %s=%s\n%s\n", name, ENVIRON[name], comment
    }
    { comment = "" }
  ' "$script"
}

show_help() {
  cat <<'HELP'
PoWER-BERT: fine-tune a BERT, find how many word-vectors each of its blocks needs, re-train it with only those.

Usage:
  bash run.sh                          the whole run: fine-tune, search, re-train, summary
  bash run.sh COMMAND [arguments]      any command of the program (list below); COMMAND --help explains it
  bash run.sh test [--all] [arguments] ruff, mypy, pytest; --all: also the slow tests; arguments go to pytest
  bash run.sh --help                   this text

Examples:
  bash run.sh
  TASK=mrpc DATA_DIR=glue_data/MRPC CHECKPOINT_PATH=checkpoints/uncased_L-12_H-768_A-12 bash run.sh
  TASK=cola DATA_DIR=glue_data/CoLA LAMBDA=3e-3 EPOCH=4 OUTPUT_DIR=/tmp/cola bash run.sh
  BACKEND=jax THREADS=4 bash run.sh
  EXTRAS=parity bash run.sh test --all

Settings, with the values that they have now: edit them at the top of run.sh, or give them in the environment.
Empty means the default that is named here. A relative path counts from the folder in which you call run.sh.

HELP
  settings help
  cat <<'HELP'
The environment:

  POWER_BERT_VENV
      Folder of the virtual environment. Empty: .venv beside run.sh.

  POWER_BERT_HOME
      Folder that gets checkpoints/ and glue_data/. Empty: the one of run.sh.

  EXTRAS
      Optional dependencies of pyproject.toml to install as well: test, jax, beam, wandb, parity (torch, transformers).

HELP
  if environment_is_ready; then
    set_environment
    exec "$python" -P "$root/code" --help
  fi
  echo "The program's own commands are listed here once the environment is set up (any other call of run.sh does it)."
}

run_tests() {
  local selection=(-m "not slow") failed=""
  if [[ ${1-} == --all ]]; then
    selection=(-m "slow or not slow")
    shift
  fi
  # There is a process of tests for each core: more threads would only get into each other's way.
  THREADS="${THREADS:-1}" set_environment
  prepare_environment test
  # The tests see no settings of a run, wherever they are started from.
  # shellcheck disable=SC2046 # names
  unset $(settings names)
  cd "$root"
  step ruff check . || failed="$failed, ruff check"
  step ruff format --check . || failed="$failed, ruff format"
  step mypy || failed="$failed, mypy"
  # A process a core; each file in one of them, for its tests share what they prepare.
  step pytest -n auto --maxprocesses 4 --dist loadfile "${selection[@]}" "$@" || failed="$failed, pytest"
  [[ -z $failed ]] || fail "not passed: ${failed#, }"
}

step() {
  printf '\n== %s\n' "$*"
  "$python" -m "$@"
}

case "${1-}" in
  -h | --help | help) show_help ;;
  test) run_tests "${@:2}" ;;
  [A-Z]*=*) fail "settings stand before the command: $1 bash run.sh" ;;
  *)
    # Options without a command are those of `run`.
    if [[ $# -eq 0 || $1 == -* ]]; then set -- run "$@"; fi
    set_environment
    prepare_environment
    # The package is found by its path and not installed: that needs no build, and edits take effect at once.
    exec "$python" -P "$root/code" "$@"
    ;;
esac
