# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# vmq.bash - what the Bats files share; `load lib/vmq`
#
# scripts/check starts each file in network and mount namespaces of its own
# (scripts/isolate). A file says what is there before each test,
#
#	setup() { make_wire 2; start_load; }
#
# and the functions here take it down; a file with more to do has its own setup_file,
# teardown_file or teardown, and calls these.
#
# The wire: veth vmq0 (here; vmq-load's device) <-> wire0 (namespace `wire`).
# Nothing waits with sleep: wait_until polls with a deadline. Background processes
# get 3>&- (else Bats waits for them) and their pids are remembered; only those
# are killed. vmq_teardown checks that nothing is left.

bats_require_minimum_version 1.8.0

ROOT=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
VMQ_BUILD=${VMQ_BUILD:-$ROOT/build}
PROG=$VMQ_BUILD/prog
IFACE=vmq0
WIRE_MAC=02:00:00:00:00:fe
# An RSS key with which a flow's hash ends with the last bit of its source port.
# shellcheck disable=SC2034 # the files that load this use it
PARITY=00000000000000000000000000020000000000000000000000000000000000000000000000000000
# A sanitized program starts and does all else more slowly.
case $VMQ_BUILD in
*asan*) SLOW=3 ;;
*) SLOW=${VMQ_SLOW:-1} ;;
esac

vmq_setup_file()
{
	if [ -z "${VMQ_ISOLATED:-}" ] || [ "$(readlink /proc/self/ns/net)" = "$VMQ_HOST_NETNS" ]; then
		echo "run this through scripts/check or scripts/isolate: it must not touch the host's network" >&2
		return 1
	fi
}

vmq_teardown_file()
{
	check_nothing_left
}

setup_file()    { vmq_setup_file; }
teardown_file() { vmq_teardown_file; }
teardown()      { vmq_teardown; }

# ---- waiting ------------------------------------------------------------------

# wait_until SECONDS CMD...: until CMD succeeds; its last output when it does not.
# WAIT_STEP: seconds from one try to the next
wait_until()
{
	local end out seconds=$1
	shift
	end=$((${EPOCHREALTIME/[.,]/} + seconds * SLOW * 1000000))
	while ! out=$("$@" 2>&1); do
		if [ "${EPOCHREALTIME/[.,]/}" -ge "$end" ]; then
			echo "not within $seconds s: $*" >&2
			echo "$out" >&2
			return 1
		fi
		read -rt "${WAIT_STEP:-0.02}" <> <(:) || :
	done
}

# gone PID: the process has ended (a zombie has, too)
gone()
{
	local state
	state=$(sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null) || return 0
	[ -z "$state" ] || [ "${state:0:1}" = Z ]
}

# ---- the wire and the guests ----------------------------------------------------

# quiet IFACE [NETNS]: no IPv6, no offloads that make a frame look other than on a
# wire, up. A veth sender leaves checksums undone and tags beside the frame.
quiet()
{
	local in=()
	[ -z "${2:-}" ] || in=(ip netns exec "$2")
	# shellcheck disable=SC2016 # expanded by the inner shell
	"${in[@]}" sh -euc '
		echo 1 >"/proc/sys/net/ipv6/conf/$1/disable_ipv6"
		ethtool -K "$1" tx off tso off gso off gro off txvlan off >/dev/null 2>&1 ||
			ethtool -K "$1" tx off >/dev/null 2>&1 || :
		ip link set "$1" up' quiet "$1"
}

# make_wire [QUEUES]: vmq0 here, wire0 in namespace `wire`
make_wire()
{
	local n=${1:-2}
	ip netns add wire
	ip -n wire link set lo up
	ip link add $IFACE numrxqueues "$n" numtxqueues "$n" type veth \
		peer name wire0 netns wire numrxqueues "$n" numtxqueues "$n"
	ip -n wire link set wire0 address $WIRE_MAC
	quiet $IFACE
	quiet wire0 wire
}

# make_guest NAME: a namespace for a VM's tap. A TAP comes up at once, so IPv6 must
# be off before it is there, or its announcements are counted.
make_guest()
{
	ip netns add "$1"
	ip netns exec "$1" sysctl -qw net.ipv6.conf.default.disable_ipv6=1
	ip -n "$1" link set lo up
}

# make_vm NAME MAC [ADDRESS/LEN] [OPTION...]: namespace, queue (with options of `queue
# add`), TAP eth0 (with the address)
make_vm()
{
	local name=$1 mac=$2 address=
	shift 2
	[[ ${1:--} == -* ]] || { address=$1; shift; }
	make_guest "$name"
	ctl queue add "$name" --mac "$mac" --channel "tap:eth0,netns=$name" "$@"
	quiet eth0 "$name"
	[ -z "$address" ] || in_ns "$name" ip addr add "$address" dev eth0
}

# in_ns NAME CMD...
in_ns()
{
	ip netns exec "$@"
}

# steer_queue N: frames that `wire` sends leave wire0 on TX queue N, whatever the
# CPU, and so arrive on RX queue N of vmq0 (by XPS; a packet socket heeds it)
steer_queue()
{
	# shellcheck disable=SC2016
	in_ns wire sh -c '
		for q in /sys/class/net/wire0/queues/tx-*; do echo 0 >$q/xps_cpus; done
		echo $2 >/sys/class/net/wire0/queues/tx-$1/xps_cpus' steer "$1" \
		"$(printf '%x' $(((1 << $(nproc)) - 1)))"
}

# send_frames ARG...: frame-send on the wire; its JSON on stdout
send_frames()
{
	in_ns wire "$PROG/frame-send" --iface wire0 "$@"
}

# gen_frames ARG...: live-gen out of wire0, so that frames arrive at vmq0
gen_frames()
{
	in_ns wire "$PROG/live-gen" --iface wire0 "$@"
}

# start_recv NAME NETNS|- IFACE ARG...: frame-recv in the background, listening on
# return
start_recv()
{
	local name=$1 ns=$2 iface=$3 file=$BATS_TEST_TMPDIR/recv-$1 in=()
	shift 3
	[ "$ns" = - ] || in=(ip netns exec "$ns")
	rm -f "$file.ready"
	"${in[@]}" "$PROG/frame-recv" --iface "$iface" --ready "$file.ready" "$@" \
		>"$file.json" 2>"$file.err" </dev/null 3>&- &
	remember $! "recv-$name"
	wait_until 5 test -e "$file.ready"
}

# finish_recv NAME [STATUS]: wait for it; its JSON is in $output afterwards, as with
# `run`, which cannot be used (only the shell that started it can wait for it)
finish_recv()
{
	local rc=0
	wait "$(<"$BATS_TEST_TMPDIR/pid-recv-$1")" || rc=$?
	rm -f "$BATS_TEST_TMPDIR/pid-recv-$1"
	output=$(<"$BATS_TEST_TMPDIR/recv-$1.json")
	if [ $rc -ne "${2:-0}" ]; then
		echo "frame-recv $1 exited with status $rc, not ${2:-0}: $output" >&2
		cat "$BATS_TEST_TMPDIR/recv-$1.err" >&2
		return 1
	fi
}

# ---- processes -----------------------------------------------------------------

# remember PID NAME: killed by vmq_teardown
remember()
{
	echo "$1" >"$BATS_TEST_TMPDIR/pid-$2"
}

# reap NAME [SIGNAL]: end a remembered process and return its exit status
reap()
{
	local file=$BATS_TEST_TMPDIR/pid-$1 pid rc=0
	pid=$(<"$file")
	kill -"${2:-TERM}" "$pid" 2>/dev/null || :
	if ! wait_until 10 gone "$pid"; then
		kill -KILL "$pid" 2>/dev/null || :
	fi
	wait "$pid" 2>/dev/null || rc=$?
	rm -f "$file"
	return $rc
}

# ---- the service ----------------------------------------------------------------

# start_load [ARG...]: vmq-load on vmq0 in the background; on return it answers.
# Its messages go to $LOAD_LOG.
start_load()
{
	local pid
	LOAD_LOG=$BATS_TEST_TMPDIR/vmq-load.log
	"$VMQ_BUILD/vmq-load" $IFACE "$@" >>"$LOAD_LOG" 2>&1 </dev/null 3>&- &
	pid=$!
	remember $pid load
	wait_until 10 load_answers $pid || {
		cat "$LOAD_LOG" >&2
		return 1
	}
}

# A service that has ended will not answer any more: no need to wait.
load_answers()
{
	if gone "$1"; then
		echo "vmq-load ended"
		return 0
	fi
	ctl show -j
}

# load_pid: of the service
load_pid()
{
	cat "$BATS_TEST_TMPDIR/pid-load"
}

# stop_load [SIGNAL]: its exit status; after SIGTERM 0 is expected
stop_load()
{
	local rc=0
	reap load "${1:-TERM}" || rc=$?
	[ $rc -eq 0 ] || [ "${1:-}" = KILL ] || cat "$LOAD_LOG" >&2
	return $rc
}

# ctl ARG...: vmqctl, of $SERVICE where there are several
ctl()
{
	"$VMQ_BUILD/vmqctl" ${SERVICE:+-i "$SERVICE"} "$@"
}

# requests METHOD-AND-JSON...: on one connection, none waits for the one before; what
# comes back, a line per message. at_once: so that they all lie there when the service
# looks (tests/prog/requests.c).
requests()
{
	printf '%s\n' "$@" | "$PROG/requests" "/run/vmq/$IFACE.sock"
}

at_once()
{
	printf '%s\n' "$@" | "$PROG/requests" --freeze "$(load_pid)" "/run/vmq/$IFACE.sock"
}

# outcome N: of the Nth request in $output: ok, or the code of its error
outcome()
{
	jq -r --argjson id "$1" 'select(.id == $id) | .error.code //
		([.result.results[]? | .code // empty][0]) // "ok"' <<<"$output"
}

# result N [FILTER]: of the Nth request in $output
result()
{
	jq -c --argjson id "$1" "select(.id == \$id) | .result | ${2:-.}" <<<"$output"
}

# as_uid UID [GID] -- CMD...: as somebody who is nobody in particular
as_uid()
{
	local uid=$1 gid=$1
	shift
	[ "$1" = -- ] || { gid=$1; shift; }
	shift
	setpriv --reuid "$uid" --regid "$gid" --clear-groups "$@"
}

# stat_of QUEUE KEY: one counter of `vmqctl stats -j`; KEY may be a path (dropped.ring_full)
stat_of()
{
	ctl stats -j | jq -e --arg q "$1" ".queues[] | select(.name == \$q) | .stats.$2"
}

# stat_reaches QUEUE KEY N: for wait_until, since a frame is counted after it was given
stat_reaches()
{
	[ "$(stat_of "$1" "$2")" -ge "$3" ]
}

# adapter_stat KEY
adapter_stat()
{
	ctl stats -j | jq -e ".adapter.$1"
}

# queue_state NAME
queue_state()
{
	ctl stats -j | jq -er --arg q "$1" '.queues[] | select(.name == $q) | .state'
}

# at_rest QUEUE: nothing in flight and matched = delivered + all of dropped (+ what a
# kill -9 made unknown)
at_rest()
{
	ctl stats -j | jq -e --arg q "$1" '.queues[] | select(.name == $q) | .stats |
		.in_flight == 0 and
		.matched == .delivered + .lost_at_restart + ([.dropped[]] | add)' >/dev/null ||
		{ ctl stats -j | jq -c --arg q "$1" '.queues[] | select(.name == $q) | .stats'; return 1; }
}

# report WORD...: a line for scripts/soak's report
report()
{
	[ -z "${VMQ_REPORT:-}" ] || echo "$*" >>"$VMQ_REPORT"
}

# ---- afterwards -----------------------------------------------------------------

# vmq_teardown: end what start_load and start_recv started, remove devices and
# namespaces
vmq_teardown()
{
	local file name rc=0
	for file in "$BATS_TEST_TMPDIR"/pid-*; do
		[ -e "$file" ] || continue
		name=${file##*/pid-}
		if [ "$name" = load ]; then
			reap load || { rc=1; echo "vmq-load did not end well:"; tail -n 40 "$LOAD_LOG"; }
		else
			reap "$name" || :
		fi
	done >&2
	"$VMQ_BUILD/vmq-load" --unload $IFACE >/dev/null 2>&1 || :
	ip link del $IFACE 2>/dev/null || :
	ip -j netns list | jq -r '.[].name' 2>/dev/null | while read -r name; do
		ip netns del "$name" || :
	done
	return $rc
}

# check_nothing_left: no pins, taps or program; call it when no service runs
check_nothing_left()
{
	local left
	left=$(find /sys/fs/bpf/vmq -mindepth 1 2>/dev/null || :)
	if [ -n "$left" ]; then
		printf 'pins left behind:\n%s\n' "$left" >&2
		return 1
	fi
	left=$(ip -j -d link show type tun | jq -r '.[].ifname // empty')
	if [ -n "$left" ]; then
		printf 'tap devices left behind: %s\n' "$left" >&2
		return 1
	fi
	left=$(find /run/vmq -name '*.sock' 2>/dev/null || :)
	if [ -n "$left" ]; then
		printf 'sockets left behind: %s\n' "$left" >&2
		return 1
	fi
}
