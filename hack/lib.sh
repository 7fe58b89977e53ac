# shellcheck shell=bash
# shellcheck disable=SC2034 # the variables are for who sources this
# What the scripts of hack/ share: how they speak, and where their caches are. Sourced, not run.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
cache=${XDG_CACHE_HOME:-$HOME/.cache}/native-host

# Colour only for people: a terminal that is none of the dumb ones, and no NO_COLOR (no-color.org).
if [[ -t 1 && -t 2 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
  bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
  bold='' red='' green='' plain=''
fi

# step TEXT: what is done now.
step() { printf '%s==> %s%s\n' "$bold" "$*" "$plain" >&2; }

# fail TEXT...: why it goes no further, one line each.
fail() {
  printf '%s%s%s\n' "$red" "$1" "$plain" >&2
  shift
  (($# == 0)) || printf '  %s\n' "$@" >&2
  exit 1
}

# need COMMAND HINT: a command that must be there, and how to have it.
need() { command -v "$1" >/dev/null || fail "$1 is missing" "$2"; }
