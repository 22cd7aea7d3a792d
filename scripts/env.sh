# Sourced by the other scripts: where build output and tools go.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/chainference

# A fresh clone in CI finds what an earlier one built; a person's build stays in the tree, where cargo puts it.
if [ -n "${CARGO_TARGET_DIR:-}" ]; then
  localnet_target=$CARGO_TARGET_DIR/localnet
elif [ -n "${CI:-}" ]; then
  export CARGO_TARGET_DIR=$cache/target
  localnet_target=$CARGO_TARGET_DIR/localnet
else
  localnet_target=$root/localnet/target
fi
target=${CARGO_TARGET_DIR:-$root/target}
# Where the tests look for it.
client_target=$target/async-openai

# rustup's own place first: a shell that has just installed it doesn't have it, and a distribution's Rust may be older.
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH:$cache/tools/bin"

stages=()
# stage NAME COMMAND…: runs it, says how long it took, and remembers that for `stages_report`.
stage() {
  local name=$1 began=$SECONDS
  shift
  printf '\n\033[1m==> %s\033[0m\n' "$name"
  if ! "$@"; then
    printf '\n%s failed after %s s.\n' "$name" "$((SECONDS - began))" >&2
    stages_report
    exit 1
  fi
  stages+=("$(printf '%-26s %5d s' "$name" "$((SECONDS - began))")")
}

stages_report() {
  [ "${#stages[@]}" -eq 0 ] || printf '    %s\n' "${stages[@]}"
}
