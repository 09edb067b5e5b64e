#!/usr/bin/env bash
# PoWER-BERT: fine-tune a BERT, search how many tokens each of its blocks needs, re-train it with only those.
#
#   bash run.sh                 the whole run with the settings below (the first call sets up a virtual environment)
#   bash run.sh COMMAND …       any other command in the same environment
#   bash run.sh test            ruff, mypy, codespell and the tests
#   bash run.sh docs            the documentation site, in site/; --serve shows it while you write
#   bash run.sh notebook        the notebooks, in their order, with their outputs; notebook 01 only the first
#   bash run.sh --help          all settings, commands and examples
set -euo pipefail

set -a # every setting is exported: the Python program reads them from the environment
# === Settings. Edit them here, or give them in the environment: TASK=mrpc EPOCH=4 bash run.sh ===
# Empty means the default that the comment names. Relative paths start at the folder in which you call run.sh.

# GLUE task: cola, sst-2, mrpc, sts-b, qqp, mnli-m, mnli-mm, qnli, rte or wnli. Others: emotion, massive, 20newsgroups.
# custom: your own data; one file as DATA_DIR implies it.
TASK="${TASK-cola}"

# Folder with the task's train.tsv, dev.tsv and test.tsv, such as glue_data/CoLA (`bash run.sh download cola`); one file
# of your own (.csv, .tsv or .jsonl), which is then split; or a data set of TensorFlow Datasets, such as tfds:glue/cola.
# Empty: for cola a small generated data set, glue_data/sample/acceptability; for other tasks the folder of download.
DATA_DIR="${DATA_DIR-}"

# Pretrained BERT: TF1 checkpoint (…/bert_model.ckpt), Hugging Face folder, keras-hub preset or hf://owner/name.
# Empty: checkpoints/all-MiniLM-L6-v2, downloaded on first use (90 MB).
CHECKPOINT_PATH="${CHECKPOINT_PATH-}"

# WordPiece vocabulary (vocab.txt). Empty: the one beside the checkpoint.
VOCAB_PATH="${VOCAB_PATH-}"

# Configuration of the BERT (bert_config.json). Empty: the one beside the checkpoint.
BERT_CONFIG_PATH="${BERT_CONFIG_PATH-}"

# Run directory: models, predictions, metrics, log.
# Empty: checkpoints/runs/TASK/NAME, named after data and checkpoint; a run with other settings gets NAME-2, and so on.
OUTPUT_DIR="${OUTPUT_DIR-}"

# How long a run trains: quick (1 epoch in each of phases 1 and 3), normal (3) or thorough (5; with SELF_DISTILL=1 phase
# 3 also trains on two augmented copies of each text). EPOCH and AUGMENT_COPIES override it.
EFFORT="${EFFORT-normal}"

# Epochs of fine-tuning, and of re-training: 1 to 1000. Empty: 1, 3 or 5, by EFFORT.
EPOCH="${EPOCH-}"

# Examples per training batch: 1 to 4096. Empty: the task's default, for GLUE the paper's (cola 32); for encoders with a
# hidden size of up to 512, such as the default one, at most 32.
BATCH_SIZE="${BATCH_SIZE-}"

# Learning rate of the retention parameters: the average distance that they move in a training step of the search, up to
# 1; usual 1e-4 to 1e-2. They go from 1 (kept) to 0 (eliminated), so it bounds the elimination, with the number of
# steps.
# Empty: the task's default, for GLUE the paper's (cola 1.5e-3), 3e-3 for the generated sample. Not used with a target.
LR_SOFT_EXTRACT="${LR_SOFT_EXTRACT-}"

# Peak learning rate of all other weights, up to 0.1; usual 2e-5 to 2e-4.
# Empty: 1e-4 for encoders with a hidden size of up to 512, such as the default one; for others the task's default, for
# GLUE the paper's (cola 2e-5).
LR_BERT="${LR_BERT-}"

# Weight λ of the regularizer in the search, 0 to 10; usual 1e-4 to 7e-3. A larger one keeps fewer tokens.
# Empty: the task's default, for GLUE the paper's (cola 7e-3).
LAMBDA="${LAMBDA-}"

# Target of the search: FLOPs reduction, 1.05 to 100; usual 1.5 to 4 (2: half of the floating-point operations).
# Empty: LAMBDA decides. With a target, LAMBDA is not used.
SPEEDUP="${SPEEDUP-}"

# Cost that the search reduces with SPEEDUP or MAX_LOSS: flops (floating-point operations, the same on every machine) or
# latency (time in batches of 32 texts of similar length, measured on this machine; the same target needs a smaller
# model).
SPEEDUP_BY="${SPEEDUP_BY-flops}"

# Largest drop of the dev score, below a baseline trained for as many epochs with nothing eliminated: 0 to 100 points;
# usual 0.5 to 2. The search takes the fastest configuration within it, with SPEEDUP one that also reaches that target.
MAX_LOSS="${MAX_LOSS-}"

# With SPEEDUP or MAX_LOSS, 1 also searches how many attention heads and feed-forward neurons each block keeps; 0: only
# tokens.
WIDTH="${WIDTH-1}"

# Self-distillation. 1: phases 2 and 3 learn from the fine-tuned model of phase 1, besides the labels; 0: from the
# labels alone, as in the paper.
# Empty: 1 with SPEEDUP or MAX_LOSS, else 0.
SELF_DISTILL="${SELF_DISTILL-}"

# Quantization-aware training. 1: phase 3 trains weights that int8 represents exactly, so that a file exported with
# --quantize gives nearly the same labels; the embeddings are trained no further. Empty: 1 with SPEEDUP or MAX_LOSS,
# else 0.
QUANTIZATION_AWARE="${QUANTIZATION_AWARE-}"

# Augmented texts per training text in phase 3, labeled by the fine-tuned model: 0 to 100. Their words are masked, or
# replaced by others of their part of speech. Empty: 2 with EFFORT=thorough and SELF_DISTILL=1, else 0.
AUGMENT_COPIES="${AUGMENT_COPIES-}"

# --- Further settings: the defaults are fine for most runs ---

# Max length in tokens, 5 to 4096; longer examples are truncated.
# Empty: the task's default, for GLUE the paper's (cola 64).
MAX_LENGTH="${MAX_LENGTH-}"

# Random seed for initialization, data order and dropout: a whole number from 0.
SEED="${SEED-0}"

# Number of training examples, selected at random and independently of SEED: a whole number from 1. Empty: all.
TRAIN_EXAMPLES="${TRAIN_EXAMPLES-}"

# Whether the vocabulary is cased: 1, 0, or auto (read from the checkpoint).
CASED="${CASED-auto}"

# Similarity of the attention: dot, cosine, euclidean or gaussian. Empty: that of the checkpoint, which is dot unless
# `bash run.sh pretrain --similarity …` made it.
SIMILARITY="${SIMILARITY-}"

# What soft extraction multiplies by the retention parameters: visibility (the attention that later blocks pay to the
# tokens) or scale (the hidden states, as in the paper).
GATE="${GATE-visibility}"

# Unit of the search: fraction (of each example's tokens) or tokens (a number of tokens, as in the paper).
RETENTION_UNIT="${RETENTION_UNIT-fraction}"

# Parameters that the search learns in each block: step (the fraction of tokens to keep), free (one per rank of
# significance, as in the paper; they can all shrink without any effect on the loss, and hard extraction then loses
# more) or threshold (a threshold of significance, whatever the ranks; not with RETENTION_UNIT=tokens).
RETENTION_PROFILE="${RETENTION_PROFILE-step}"

# Noise on the significance of tokens during re-training: 0 (none) to 2. int8 quantization can change which tokens are
# selected; 0.3 is meant to make a model robust to that, for `export --quantize int8`. Label agreement rose in some runs
# and fell in others, and it can cost a point or more of the score if few tokens are kept. Empty: 0.
RETENTION_JITTER="${RETENTION_JITTER-}"

# 1: the tokens that a block drops are fused into one, their mean weighted by significance, which joins the sequence
# (docs/how-it-works.md). Acts in re-training, and with SPEEDUP or MAX_LOSS in the search; no effect where nothing is
# dropped. 0: they are lost, as in the paper.
FUSE="${FUSE-0}"

# TASK=custom (one file, or train, dev and optionally test in a folder, as .tsv, .csv or .jsonl): column of the texts,
# or the two columns of text pairs, separated by a comma. Empty: guessed from names and values.
TEXT_COLUMNS="${TEXT_COLUMNS-}"

# TASK=custom: column of the labels or scores. Empty: guessed from names and values.
LABEL_COLUMN="${LABEL_COLUMN-}"

# TASK=custom: labels, separated by commas. Empty: those of the training data, sorted.
LABELS="${LABELS-}"

# TASK=custom: metric that selects the best epoch: accuracy or macro_f1; spearman or pearson for scores of any range.
# Empty: accuracy.
METRIC="${METRIC-}"

# Epochs of the search: 1 to 1000. With SPEEDUP, of each stage but the last, which phase 3 trains; with MAX_LOSS, of
# every stage. Empty: EPOCH; with SPEEDUP or MAX_LOSS 1.
SEARCH_EPOCH="${SEARCH_EPOCH-}"

# Fraction of a phase's training steps with a rising learning rate: 0 to 0.99.
WARMUP="${WARMUP-0.1}"

# Decoupled weight decay: 0 to 1.
WEIGHT_DECAY="${WEIGHT_DECAY-0.01}"

# Dropout rate of hidden states and attention: 0 to 0.9. Empty: that of the checkpoint.
DROPOUT="${DROPOUT-}"

# Retention configuration of phase 3: 64,48,… (tokens kept after each block), 1.0,0.8,… (fractions of each example's
# tokens) or a retention.json of tokens alone. The search (phase 2) is then skipped, and phase 3 starts from the
# fine-tuned weights.
# With EVAL_ONLY or PREDICT_ONLY: that of the model; none keeps all tokens. Empty: searched, or stored in the model.
RETENTION_CONFIG="${RETENTION_CONFIG-}"

# 1: also trains the baseline: fine-tuning with nothing eliminated, for as many further epochs as search and re-training
# have together. Works for a finished run, too. 0: no baseline.
BASELINE="${BASELINE-0}"

# Whether phases 1 and 3 write predictions of the test data in GLUE's format: 1 or 0.
PRED_GLUE="${PRED_GLUE-1}"

# 1: no training; score the run in OUTPUT_DIR, or a CHECKPOINT_PATH with a classification head, on dev.
EVAL_ONLY="${EVAL_ONLY-0}"

# 1: no training; write predictions of the test data into OUTPUT_DIR/predictions, with the model of EVAL_ONLY.
PREDICT_ONLY="${PREDICT_ONLY-0}"

# Keras backend: tensorflow or jax (installed on first use).
BACKEND="${BACKEND-${KERAS_BACKEND:-tensorflow}}"

# CPU threads, a whole number from 1. Empty: all cores.
THREADS="${THREADS-}"

# 1: resume an interrupted run. 0: start it from scratch.
RESUME="${RESUME-1}"

# === End of the settings ===
set +a

# Settings of another Python must not affect this project's own environment.
unset PYTHONPATH PYTHONHOME PYTHONSTARTUP

# The folder of this file, also if it is called through a symbolic link.
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
stamp="$venv/power-bert-installed"      # what was installed; written last, so that a killed installation has no stamp
unfinished="$venv/power-bert-unfinished" # exists while pip is writing

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "run.sh: $*"
  exit 1
}

# --- Installing ---

sha256() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi
}

# First line of the stamp: hash of the requirements and version of Python.
fingerprint() {
  local hash version
  hash="$(cd "$root" && cat requirements.txt requirements.lock tests/requirements.lock pyproject.toml | sha256)"
  version="$("$python" -c 'import sys; print("{}.{}".format(*sys.version_info))' 2>/dev/null || true)"
  printf '%s %s\n' "${hash%% *}" "$version"
}

# Whether the stamp matches and lists all given extras; then pip is not called, and no network is needed.
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

# The packages of the given extras, one per line; those of "test" are locked in tests/requirements.lock.
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

# Prints what failed, the last lines of the log and what to do, and exits.
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

# Installs packages, with uv if it is available; locked packages are installed by version and hash.
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
  # A killed pip can leave a package half-written that it later takes for installed, so all are reinstalled.
  if [[ -e $unfinished ]]; then force=1; fi
  : >"$unfinished"
  if ! install_locked_packages "$@"; then
    # pip failed before it wrote anything, so no package is half-written.
    grep -q "^Installing collected packages" "$work/log" || rm -f "$unfinished"
    setup_failed "pip could not install the requirements" "$work/log"
  fi
  { fingerprint && printf '%s\n' "$*"; } >"$work/stamp"
  cp "$work/stamp" "$stamp.partial" && mv "$stamp.partial" "$stamp"
  rm -rf "$work" "$unfinished"
  trap - EXIT INT
  say "The environment is ready ($((SECONDS - started)) s)."
}

# Creates or updates the environment. If several run.sh are called at once, one does it and the others wait.
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
    # Extras that are already installed stay listed.
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
  # Every operation allocates and frees tensors. By default, glibc returns the memory of large ones to the system each
  # time and requests it again, page by page, which costs a third of a training step. Other C libraries ignore this.
  local malloc="" setting
  for setting in hugetlb=1 mmap_max=0 top_pad=67108864 trim_threshold=8589934592; do
    malloc="$malloc:glibc.malloc.$setting"
  done
  export GLIBC_TUNABLES="${GLIBC_TUNABLES-${malloc#:}}"
  export POWER_BERT_PROGRAM="bash run.sh"
}

# The block of settings above: "names", or "help" with current values and comments.
settings() {
  awk -v form="$1" '
    /^# === End/ { exit }
    /^# === Settings/ { inside = 1; next }
    !inside { next }
    /^# ---/ { comment = ""; if (form == "help") print "Further settings:\n"; next }
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
PoWER-BERT: fine-tune a BERT, search how many tokens each of its blocks needs, re-train it with only those.

Usage:
  bash run.sh                          the whole run: fine-tune, search, re-train, summary
  bash run.sh COMMAND [arguments]      any command of the program (list below); COMMAND --help explains it
  bash run.sh test [--all] [arguments] ruff, mypy, codespell, pytest; --all: also slow tests; arguments go to pytest
  bash run.sh docs [--serve]           builds the documentation in site/; --serve: shows it and follows every change
  bash run.sh notebook [names]         runs the notebooks in their order and stores their outputs
  bash run.sh --help                   this text

Examples:
  bash run.sh
  TASK=mrpc DATA_DIR=glue_data/MRPC CHECKPOINT_PATH=checkpoints/uncased_L-12_H-768_A-12 bash run.sh
  TASK=cola DATA_DIR=glue_data/CoLA LAMBDA=3e-3 EPOCH=4 OUTPUT_DIR=/tmp/cola bash run.sh
  DATA_DIR=tickets.csv SPEEDUP=2 bash run.sh
  BACKEND=jax THREADS=4 bash run.sh
  EXTRAS=parity bash run.sh test --all

Settings, with their current values: edit them at the top of run.sh, or give them in the environment.
Empty means the default that the text below it names. Relative paths start at the folder in which you call run.sh.

HELP
  settings help
  cat <<'HELP'
The environment:

  POWER_BERT_VENV
      Folder of the virtual environment. Empty: .venv beside run.sh.

  POWER_BERT_HOME
      Folder for checkpoints/ and glue_data/. Empty: the folder of run.sh.

  EXTRAS
      Optional dependencies of pyproject.toml to install: test, docs, notebook, jax, onnx, openvino, beam, serve, wandb,
      parity (torch, transformers).

HELP
  # Also if the requirements have changed since: they change oftener than the commands do.
  if [[ -f $stamp ]]; then
    set_environment
    if "$python" -P "$root/code" --help 2>/dev/null; then return; fi
  fi
  echo "The commands are listed here once the environment is set up, which any other call of run.sh does."
}

run_tests() {
  local selection=(-m "not slow") failed=""
  if [[ ${1-} == --all ]]; then
    selection=(-m "slow or not slow")
    shift
  fi
  # The tests already run one process per core, so more threads would only slow them down.
  THREADS="${THREADS:-1}" set_environment
  prepare_environment test
  # Settings of a run must not reach the tests.
  # shellcheck disable=SC2046 # names
  unset $(settings names)
  cd "$root"
  step ruff check . || failed="$failed, ruff check"
  step ruff format --check . || failed="$failed, ruff format"
  step mypy || failed="$failed, mypy"
  # The project's own files: a user's files and runs may lie beside them.
  step codespell_lib code docker docs glue_data/README.md checkpoints/README.md notebooks tests CHANGELOG.md \
    CITATION.cff CONTRIBUTING.md README.md mkdocs.yml pyproject.toml run.sh || failed="$failed, codespell"
  # One process per core; the tests of a file share fixtures, so they run in one process.
  step pytest -n auto --maxprocesses 4 --dist loadfile "${selection[@]}" "$@" || failed="$failed, pytest"
  [[ -z $failed ]] || fail "not passed: ${failed#, }"
}

# Writes the generated pages, then builds the site or, with --serve, shows it.
make_docs() {
  [[ $# -eq 0 || "$*" == --serve ]] || fail "docs $*: expected nothing, or --serve"
  set_environment
  prepare_environment docs
  # shellcheck disable=SC2046 # names
  unset $(settings names)
  cd "$root"
  export NO_MKDOCS_2_WARNING=1 # an advertisement
  PYTHONPATH="$root/code" "$python" docs/pages.py
  if [[ ${1-} == --serve ]]; then exec "$python" -m mkdocs serve; fi
  "$python" -m mkdocs build
  say "The documentation is in $root/site: open site/index.html."
}

# Executes notebooks in their order and stores their outputs; without names all of them.
run_notebooks() {
  set_environment
  prepare_environment notebook
  # shellcheck disable=SC2046 # names
  unset $(settings names)
  PYTHONPATH="$root/code" exec "$python" "$root/notebooks/execute.py" "$@"
}

step() {
  printf '\n== %s\n' "$*"
  "$python" -m "$@"
}

case "${1-}" in
  -h | --help | help) show_help ;;
  test) run_tests "${@:2}" ;;
  docs) make_docs "${@:2}" ;;
  notebook) run_notebooks "${@:2}" ;;
  [A-Z]*=*) fail "settings stand before the command: $1 bash run.sh" ;;
  --install-completion | --show-completion)
    fail "shells complete the installed program only: \`pip install .\` in $root, then \`power-bert $1\`"
    ;;
  *)
    # Options without a command belong to `run`, all but that of the program itself.
    if [[ $# -eq 0 || ($1 == -* && $1 != --version) ]]; then set -- run "$@"; fi
    set_environment
    case "$1" in
      serve | benchmark-serve) prepare_environment serve ;;
      *) prepare_environment ;;
    esac
    # The package is run from its path instead of being installed: no build is needed, and edits take effect at once.
    exec "$python" -P "$root/code" "$@"
    ;;
esac
