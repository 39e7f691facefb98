# Runs one engine and ends it with its parent, also when the parent is killed with -9: the parent holds the other end
# of the standard input and never writes, so end of file means that it is gone.
# usage: sh supervisor.sh SIGNAL GRACE_TENTHS COMMAND [ARGUMENT...]; writes the engine's process id to standard output,
# the engine itself writes to standard error. Exits as the engine did.
signal=$1
grace=$2
shift 2
exec 3<&0
"$@" </dev/null >&2 3<&- &
engine=$!
(
  read -r _ <&3
  kill -s "$signal" "$engine" 2>/dev/null
  waited=0
  while [ "$waited" -lt "$grace" ] && kill -0 "$engine" 2>/dev/null; do
    sleep 0.1
    waited=$((waited + 1))
  done
  kill -s KILL "$engine" 2>/dev/null
) >/dev/null 2>&1 &
guard=$!
echo "$engine"
exec >/dev/null
wait "$engine"
code=$?
kill -s KILL "$guard" 2>/dev/null
exit "$code"
