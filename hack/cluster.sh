# shellcheck shell=bash
# shellcheck disable=SC2154 # who sources this sets what it wants
# What hack/run starts and ends: the control plane, native-host, the simulated Windows node and the load.
# Sourced after hack/lib.sh, not run. It wants $folder, $tools, $programs, $page, $keep and
# $real.

# With --keep the processes outlive this terminal.
detached=()
# The name of the node, and the processes in the order in which they end.
readonly node=win-1
node_pid='' load_pid='' program_pid='' plane_pid=''

kubectl() { HOME=$folder "$tools/kubectl" --kubeconfig "$folder/kubeconfig" "$@"; }

# pause DEADLINE MESSAGE...: one turn of a loop that waits; fails with MESSAGE past the deadline.
pause() {
  ((SECONDS < $1)) || fail "${@:2}"
  sleep 0.2
}

# http_get HOST PORT PATH: the answer to a GET, headers and all; fails where there is none. (curl may be
# missing.)
http_get() {
  { exec 7<>"/dev/tcp/$1/$2"; } 2>/dev/null || return 1
  printf '%s %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "${4:-GET}" "$3" >&7
  timeout 10 cat <&7 || true
  exec 7>&-
}

# http_ok PORT PATH: whether a GET answers 200.
http_ok() { [[ $(http_get 127.0.0.1 "$@" | head -n 1) == *' 200 '* ]]; }

start_control_plane() {
  step 'Starting etcd, kube-apiserver, kube-controller-manager and kube-scheduler'
  local starter=("$programs/examples/control-plane" up --folder "$folder")
  # A node that is real registers itself.
  $real || starter+=(--node "$node" --kubelets)
  mkfifo -m 600 "$folder/ready"
  if $keep; then
    "${detached[@]}" "${starter[@]}" --stay </dev/null >"$folder/ready" 2>"$folder/control-plane.log" &
  else
    # It runs until its stdin ends: descriptor 9 is the other end, and only this shell has it.
    mkfifo -m 600 "$folder/leash"
    "${starter[@]}" <"$folder/leash" >"$folder/ready" 2>"$folder/control-plane.log" &
    exec 9>"$folder/leash"
  fi
  plane_pid=$!
  local answer=''
  read -r answer <"$folder/ready" || true
  [[ $answer == ready ]] || fail 'The control plane did not come up:' "$(cat "$folder/control-plane.log")"
}

# The one place that knows how the program is started.
# start_program PORT HTTP_PORT FOLDER
start_program() {
  "${detached[@]}" "$programs/native-host" serve \
    --listen "127.0.0.1:$1" --http-listen "127.0.0.1:$2" \
    --self-signed --self-signed-dir "$3/webhook" \
    --kubeconfig "$3/native-host.kubeconfig" --shutdown-delay 0s \
    </dev/null >"$3/native-host.log" 2>&1 9>&- &
  program_pid=$!
}

start_webhook() {
  step 'Starting native-host'
  local ports port http
  mapfile -t ports < <("$programs/examples/control-plane" ports 2)
  port=${ports[0]} http=${ports[1]}
  : >"$folder/native-host.log" # there before it is looked at, which may be before the program runs
  start_program "$port" "$http" "$folder"
  local deadline=$((SECONDS + 30))
  until http_ok "$http" /readyz; do
    kill -0 "$program_pid" 2>/dev/null || fail 'native-host ended:' "$(tail -n 20 "$folder/native-host.log")"
    pause "$deadline" 'native-host is not ready:' "$(tail -n 20 "$folder/native-host.log")"
  done
  "$programs/examples/control-plane" webhooks --url "https://127.0.0.1:$port" \
    --ca "$folder/webhook/ca.crt" >"$folder/webhooks.json"
}

# start_node ARG...: the simulated node, with what is to be on it.
start_node() {
  step "Starting $node, a simulated Windows node: its programs run under wine"
  # It runs until its stdin ends, and a pipe that its reader holds open for writing too never does.
  mkfifo -m 600 "$folder/node-stdin"
  : >"$folder/node.out"
  "${detached[@]}" "$programs/examples/windows-node" --kubeconfig "$folder/kubeconfig" --name "$node" \
    --folder "$folder/node" "$@" <>"$folder/node-stdin" >"$folder/node.out" 2>"$folder/node.log" 9>&- &
  node_pid=$!
  local deadline=$((SECONDS + 180))
  until grep -qx ready "$folder/node.out"; do
    kill -0 "$node_pid" 2>/dev/null || fail "$node ended:" "$(tail -n 20 "$folder/node.log")"
    pause "$deadline" "$node is not ready:" "$(tail -n 20 "$folder/node.log")"
  done
  node_control=$(sed -n 's/^control .*://p' "$folder/node.out")
}

# start_load SERVICE: descriptor 6 takes its marks, and closing it ends it.
start_load() {
  mkfifo -m 600 "$folder/marks"
  "$programs/examples/load" --kubeconfig "$folder/kubeconfig" --service "$1" --page "$page" --json "${page%.html}.json" \
    <"$folder/marks" >"$folder/load.out" 9>&- &
  load_pid=$!
  exec 6>"$folder/marks"
}

# mark TEXT...: what is done now, for the terminal and for the plots.
mark() {
  step "$*"
  [[ -z $load_pid ]] || printf '%s\n' "$*" >&6
}

# end_load: waits for what is under way; fails where a request failed.
end_load() {
  local code=0
  http_get 127.0.0.1 "$node_control" /timings | sed '1,/^\r*$/d' >"$folder/timings"
  printf 'pairs %s\n' "$folder/timings" >&6
  exec 6>&-
  wait "$load_pid" || code=$?
  load_pid=''
  step "The load: $(cat "$folder/load.out")"
  return "$code"
}

# --- the end ------------------------------------------------------------------------------------

# ours PID: whether that process is one of this folder, and not another one of the same number.
ours() { [[ -n $1 && -r /proc/$1/cmdline ]] && grep -qaF "$folder" "/proc/$1/cmdline"; }

# end PID: asks it to end and waits until it has; a child that will not is killed.
end() {
  local turns=0
  kill "$1" 2>/dev/null || return 0
  while kill -0 "$1" 2>/dev/null && ((turns++ < 100)); do sleep 0.1; done
  kill -KILL "$1" 2>/dev/null || true
}

take_down() {
  local pid
  # The load first, for it would log failures; then who would log an API server that is gone.
  exec 6>&-
  for pid in "$load_pid" "$program_pid" "$node_pid"; do
    if ours "$pid"; then end "$pid"; fi
  done
  # Without its leash the control plane ends in good order; one that was kept has none.
  exec 9>&-
  if [[ -p $folder/leash ]]; then
    wait
  elif ours "$plane_pid"; then
    end "$plane_pid"
  fi
  # Servers that were just killed may still write.
  local deadline=$((SECONDS + 10))
  until rm -rf "$folder" 2>/dev/null; do pause "$deadline" "$folder cannot be removed"; done
}
