#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# jvpn-ip where there is no module, no daemon and no capability: the grammar, keys, complaints word for
# word, exit codes.
# shellcheck source-path=SCRIPTDIR source=../lib/ktap.sh
here=$(dirname "$(realpath "$0")")
. "$here/../lib/ktap.sh"
build=$(realpath "$here/../../build")
tool=$build/jvpn-ip
[ -x "$tool" ] || skip_all "build/jvpn-ip is not built"

work=$(mktemp -d)
at_exit rm -rf "$work"
key=gKFSB4jAWyRsAqWEsB4KtABeU3phcmaxj0RTJKZ4VWk=
sid=9f3c1a7700d1e2b4
name_allowed='1 to 63 letters, digits, dots, dashes and underscores'
device_allowed='1 to 15 characters without "/", ":" or space'
key_allowed='32 bytes as 44 characters of base64'
prefix_allowed='ADDRESS/LENGTH, as 10.1.0.0/16 or 2001:db8::/64'
endpoint_allowed='ADDRESS:PORT, as 192.0.2.1:51820 or [2001:db8::1]:51820'
options_allowed='-j, -p, -br, -o, -s, -d, -t, -b, -f, -n, -K, -S, -w, -V, -h'
states='BIRTH, ATTACHED, VOLATILE, RECOVERING, DEGRADED, TERMINATED'
selector='dev, id, peer, inner, outer, state, via, older'
printf 'no key\n' >"$work/bad"
head -c 300 /dev/zero | tr '\0' A >"$work/long"
printf '%s\n%s\n' $key $key >"$work/two"

# Each: the complaint after "Error: argument ", | the command line. All are exit code 1.
wrong=(
	"\"foo\" is wrong: unknown object (allowed: link, session, peer, transport, route, policy, stats, monitor, audit, key, conf, daemon, version, help)|foo"
	"\"-Z\" is wrong: unknown option (allowed: $options_allowed)|-Z link"
	"\"--jso\" is wrong: unknown option (allowed: $options_allowed)|--jso link"
	"\"-w\" is wrong: a value must follow|-w"
	"\"0\" is wrong: out of range (allowed: 1 to 3600)|-w 0 link"
	"\"1.5\" is wrong: not a number (allowed: 1 to 3600)|-w 1.5 link"
	"\"ad\" is wrong: nothing more is taken here|version show ad"
	"\"d\" is wrong: unknown command (allowed: gen, pub, psk, fingerprint)|key d"
	"\"p\" is wrong: ambiguous command (allowed: pub, psk)|key p"
	"\"key\" is wrong: a command must follow (allowed: gen, pub, psk, fingerprint)|key"
	"\"conf\" is wrong: a command must follow (allowed: check, show, apply)|conf"
	"\"x\" is wrong: nothing more is taken here|conf check $work/bad x"
	"\"add\" is wrong: a device name must follow (allowed: $device_allowed)|link add"
	"\"a/b\" is wrong: not a device name (allowed: $device_allowed)|link add a/b"
	"\"abcdefghijklmnop\" is wrong: not a device name (allowed: $device_allowed)|link show abcdefghijklmnop"
	"\"jv%d\" is wrong: not a device name (allowed: $device_allowed)|link add jv%d"
	"\"tun\" is wrong: not a type of device made here (allowed: jvpn)|link add jv0 type tun"
	"\"575\" is wrong: out of range (allowed: 576 to 65475)|link add jv0 mtu 575"
	"\"65476\" is wrong: out of range (allowed: 576 to 65475)|link set jv0 mtu 65476"
	"\"99999999999999999999\" is wrong: out of range (allowed: 576 to 65475)|link set jv0 mtu 99999999999999999999"
	"\"-1\" is wrong: not a number (allowed: 576 to 65475)|link set jv0 mtu -1"
	"\"1400x\" is wrong: not a number (allowed: 576 to 65475)|link set jv0 mtu 1400x"
	"\"mtu\" is wrong: a value must follow (allowed: 576 to 65475)|link set jv0 mtu"
	"\"mtu\" is wrong: given twice|link set jv0 mtu 1400 mtu 1400"
	"\"mut\" is wrong: unknown parameter (allowed: type, mtu, fwmark, table, listen, private-key, address, up, down)|link set jv0 mut 1400"
	"\"down\" is wrong: contradicts \"up\"|link set jv0 up down"
	"\"jv0\" is wrong: what to set must follow (allowed: mtu, listen, private-key, fwmark, table, address, up, down)|link set jv0"
	"\"0x100000000\" is wrong: out of range (allowed: 1 to 4294967295)|link set jv0 fwmark 0x100000000"
	"\"0\" is wrong: out of range (allowed: 1 to 4294967295)|link set jv0 table 0"
	"\"192.0.2.1\" is wrong: not an address with a port (allowed: $endpoint_allowed)|link set jv0 listen 192.0.2.1"
	"\"192.0.2.1:0\" is wrong: not an address with a port (allowed: $endpoint_allowed)|link set jv0 listen 192.0.2.1:0"
	"\"192.0.2.1:65536\" is wrong: not an address with a port (allowed: $endpoint_allowed)|link set jv0 listen 192.0.2.1:65536"
	"\"2001:db8::1:51820\" is wrong: not an address with a port (allowed: $endpoint_allowed)|link set jv0 listen 2001:db8::1:51820"
	"\"gw.example.net:1\" is wrong: not an address with a port (allowed: $endpoint_allowed)|link set jv0 listen gw.example.net:1"
	"\"10.0.0.1/33\" is wrong: not a prefix (allowed: $prefix_allowed)|link set jv0 address 10.0.0.1/33"
	"\"private-key\" is wrong: a key does not belong on the command line (allowed: FILE, or - for standard input)|link set jv0 private-key $key"
	"\"private-key\" is wrong: a value must follow (allowed: FILE, or - for standard input)|link set jv0 private-key"
	"\"$work/none\" is wrong: No such file or directory (allowed: FILE, or - for standard input)|link set jv0 private-key $work/none"
	"\"$work/bad\" is wrong: holds no key (allowed: $key_allowed)|link set jv0 private-key $work/bad"
	"\"$work/long\" is wrong: holds no key (allowed: $key_allowed)|link set jv0 private-key $work/long"
	"\"$work/two\" is wrong: holds no key (allowed: $key_allowed)|link set jv0 private-key $work/two"
	"\"/dev/null\" is wrong: holds no key (allowed: $key_allowed)|peer add $key allowed-ips 10.0.0.0/8 preshared /dev/null"
	"\"$work\" is wrong: holds no key (allowed: $key_allowed)|link set jv0 private-key $work"
	"\"-\" is wrong: holds no key (allowed: $key_allowed)|link set jv0 private-key -"
	"\"add\" is wrong: the peer's public key must follow (allowed: $key_allowed)|peer add"
	"\"abc\" is wrong: not a key (allowed: $key_allowed)|peer add abc"
	"\"${key}A\" is wrong: not a key (allowed: $key_allowed)|peer add ${key}A"
	"\"$key\" is wrong: \"allowed-ips\" with its value must follow (allowed: $prefix_allowed)|peer add $key"
	"\"10.0.0.1/8\" is wrong: bits are set behind the prefix length (allowed: $prefix_allowed)|peer add $key allowed-ips 10.0.0.0/8,10.0.0.1/8"
	"\"\" is wrong: not a prefix (allowed: $prefix_allowed)|peer add $key allowed-ips 10.0.0.0/8,"
	"\"::/0/0\" is wrong: not a prefix (allowed: $prefix_allowed)|peer add $key allowed-ips ::/0/0"
	"\"1.2.3\" is wrong: not a prefix (allowed: $prefix_allowed)|peer add $key allowed-ips 1.2.3"
	"\"a:b\" is wrong: not a name (allowed: $name_allowed)|peer add $key allowed-ips ::/0 name a:b"
	"\"-x\" is wrong: not a peer (allowed: its name or its public key)|peer del -x"
	"\"add\" is wrong: a transport's name must follow (allowed: $name_allowed)|transport add"
	"\"1001\" is wrong: out of range (allowed: 0 to 1000)|transport add wifi preference 1001"
	"\"cheap\" is wrong: unknown parameter (allowed: dev, match, preference, metered)|transport add wifi cheap"
	"\"0s\" is wrong: recovery-window: \"0s\" is not allowed, it takes a duration from 100ms to 10m|policy set carrier recovery-window 0s"
	"\"5\" is wrong: recovery-window: \"5\" is not allowed, it takes a duration from 100ms to 10m|policy set carrier recovery-window 5"
	"\"sometimes\" is wrong: on-recovery-exhausted: \"sometimes\" is not allowed, it takes one of: degrade, terminate|policy set carrier on-recovery-exhausted sometimes"
	"\"carrier\" is wrong: a knob must follow|policy set carrier"
	"\"liveness\" is wrong: its value must follow|policy set carrier liveness"
	"\"12\" is wrong: not a session id (allowed: 16 or 32 hex digits)|session show id 12"
	"\"9f3c1a7700d1e2bx\" is wrong: not a session id (allowed: 16 or 32 hex digits)|session show id 9f3c1a7700d1e2bx"
	"\"asleep\" is wrong: unknown state (allowed: $states)|session show state asleep"
	"\"10.0.0\" is wrong: not an address (allowed: IPv4 or IPv6, as 192.0.2.1 or 2001:db8::1)|session show inner 10.0.0"
	"\"5y\" is wrong: not a time (allowed: a whole number with ms, s, m, h or d, as 250ms)|session show older 5y"
	"\"1:2\" is wrong: not an address (allowed: $endpoint_allowed)|session show outer 1:2"
	"\"frob\" is wrong: unknown parameter (allowed: $selector)|session show frob"
	"\"$sid\" is wrong: \"transport\" with its value must follow (allowed: $name_allowed)|session switch id $sid"
	"\"one\" is wrong: not a number (allowed: 0 to 9223372036854775807)|session switch id $sid if-version one"
	"\"transport\" is wrong: unknown parameter (allowed: $selector, if-version, reason)|session terminate id $sid transport lte"
	"\"del\" is wrong: it goes past jvpnd, which needs \"jvpn-ip -K\" (allowed: terminate)|session del id $sid"
	"\"-K\" is wrong: this command is jvpnd's to carry out.|-K daemon status"
	"\"nosuch\" is wrong: unknown command (allowed: session, path, all)|monitor nosuch"
	"\"nosuch\" is wrong: unknown command (allowed: show, drops)|stats nosuch"
)

run() { # COMMAND LINE: sets $said (standard error), $printed and $status
	printed=$("$tool" "$@" </dev/null 2>"$work/stderr")
	status=$?
	said=$(cat "$work/stderr")
}

says() { # NAME STATUS TEXT COMMAND LINE…: nothing on standard output, this one line on the other
	local name=$1 wanted=$2 text=$3
	shift 3
	run "$@"
	is "$name" "$status|$printed|$said" "$wanted||$text"
}

round_trip() {
	"$tool" key gen >"$work/key" && "$tool" key pub <"$work/key" >"$work/pub" &&
		wg pubkey <"$work/key" | cmp - "$work/pub"
}

fresh() { # two keys of 32 bytes that differ
	local one two
	one=$("$tool" key "$1") two=$("$tool" key "$1")
	[ "$(base64 -d <<<"$one" | wc -c)" = 32 ] && [ "$one" != "$two" ]
}

white_space() { [ "$(printf '\n  %s \n\n' "$key" | "$tool" key pub)" = "$("$tool" key pub <<<"$key")" ]; }

json() { # FILTER COMMAND LINE…: what Python's json makes of the output satisfies the expression
	local filter=$1
	shift
	"$tool" "$@" | python3 -c 'import json, sys; answer = json.load(sys.stdin); sys.exit(not ('"$filter"'))'
}

helps() { # every level explains itself, and exits well
	local object
	run help && [ "$status" = 0 ] && [[ $printed == Usage:* ]] || return
	for object in link session peer transport route policy stats monitor audit key conf daemon version; do
		run $object help
		[ "$status" = 0 ] && [ -z "$said" ] || return
		[[ $printed == "jvpn-ip $object "* ]] || return
	done
	run link add help
	[ "$status" = 0 ] && [[ $printed == "jvpn-ip link add NAME "* ]]
}

one_line() { # a complaint is one line of what can be printed
	run $'a\nb\e[31m'
	[ "$status" = 1 ] && [[ $said == 'Error: argument "a?b?[31m" is wrong: unknown object'* ]] &&
		[ "$(wc -l <"$work/stderr")" = 1 ]
}

# A daemon that takes the call and says nothing, or what it is told to.
listener() { # ANSWER or "": serves one connection; ready when the socket is there
	python3 - "$work/sock" "$1" <<-'X' &
		import os, socket, sys
		path, answer = sys.argv[1:]
		s = socket.socket(socket.AF_UNIX)
		s.bind(path + ".new")
		s.listen()
		os.rename(path + ".new", path)
		c, _ = s.accept()
		got = b""
		while not got.endswith(b"\0"):
		    got += c.recv(65536)
		open(path + ".got", "wb").write(got)
		if answer:
		    c.sendall(answer.encode() + b"\0")
		c.recv(1)
		os.unlink(path)
	X
	listener_pid=$!
	until [ -S "$work/sock" ]; do kill -0 $listener_pid 2>/dev/null || return; done
}

answered() { # NAME STATUS TEXT ANSWER COMMAND LINE…: as says, with a daemon that answers this
	local name=$1 wanted=$2 text=$3
	listener "$4"
	shift 4
	run -S "$work/sock" "$@"
	kill $listener_pid 2>/dev/null
	wait $listener_pid 2>/dev/null
	rm -f "$work/sock"
	is "$name" "$status|$printed|$said" "$wanted||$text"
}

error() { printf '{"error":"io.jvpn.Control.%s","parameters":{%s}}' "$1" "$2"; }

call_is() { # JSON of the call that the last listener took
	python3 - "$work/sock.got" "$1" <<-'X'
		import json, sys
		got = json.loads(open(sys.argv[1], "rb").read()[:-1])
		wanted = json.loads(sys.argv[2])
		sys.exit(got != wanted and f"got {got}")
	X
}

late() { # -w also waits for a daemon that is not there yet
	"$tool" -S "$work/sock" -w 30 session terminate id $sid >"$work/late" 2>&1 &
	local pid=$! status
	listener '{"parameters":{}}'
	wait $pid
	status=$?
	kill $listener_pid 2>/dev/null
	wait $listener_pid 2>/dev/null
	rm -f "$work/sock"
	[ "$status" = 0 ] && [ ! -s "$work/late" ]
}

config() { # what jvpnd says of a file is what conf check says, and its exit code
	printf '%s\n' 'daemon { node-id = "a"' 'nonsense = 3 }' >"$work/bad.conf"
	run conf check "$work/bad.conf"
	if [ "$status" != 1 ] || [[ $said != *"$work/bad.conf:"[0-9]* ]]; then echo "$status $said"; return 1; fi
	: >"$work/good.conf"
	run conf check "$work/good.conf"
	[ "$status" = 0 ] || { echo "$status $said"; return 1; }
}

plan $((${#wrong[@]} + 33))
for row in "${wrong[@]}"; do
	read -ra line <<<"${row#*|}"
	says "refused: ${line[*]//$work/DIR}" 1 "Error: argument ${row%%|*}" "${line[@]}"
done

run
is "without words: usage and exit code 1" "$status|$printed|${said%% *}" "1||Usage:"
check "help at every level" helps
check "a complaint is one clean line" one_line
knobs=$(sed -n 's/^\t[A-Z]*(\(KNOB(\)\?"\([a-z-]*\)", .*/\2/p' "$here/../../daemon/policy.c" | paste -sd, | sed 's/,/, /g')
says "an unknown knob: all knobs are named" 1 \
	"Error: argument \"foo\" is wrong: unknown knob (allowed: $knobs)" policy set carrier foo 1
says "no such namespace" 5 "Error: there is no network namespace \"nosuch\"." -n nosuch link
says "no such device" 5 "Error: jvpn: there is no device \"nosuch0\"." session show dev nosuch0

if command -v wg >/dev/null; then
	check "key pub agrees with wg pubkey" round_trip
else
	skip "key pub agrees with wg pubkey" "wireguard-tools is not installed"
fi
check "key gen: 32 fresh bytes" fresh gen
check "key psk: 32 fresh bytes" fresh psk
check "key pub: white space does not matter" white_space
says "key pub: nothing on standard input" 1 \
	"Error: argument \"pub\" is wrong: standard input holds no private key (allowed: $key_allowed)" key pub
check "an abbreviated object and command" json 'list(answer[0]) == ["public_key"]' -j k pu <<<"$key"

check "version: schema 1" json 'answer[0]["json_schema"] == 1 and len(answer) == 1' -j version
check "version: long option, pretty" json 'answer[0]["version"]' --json -pretty version
run -V
is "-V" "$status|$printed" "0|$("$tool" version | cut -d' ' -f1,2)"

dead="start it, or say where it is with -S."
says "no daemon: exit code 3" 3 \
	"Error: jvpnd is not running (nothing answers at $work/none): $dead" -S "$work/none" daemon status
says "no daemon: a switch" 3 \
	"Error: jvpnd is not running (nothing answers at $work/none): $dead" -S "$work/none" session switch id $sid transport lte
says "no daemon: nothing is made before" 3 \
	"Error: jvpnd is not running (nothing answers at $work/none): $dead" -S "$work/none" link add jv0 listen 0.0.0.0:1

answered "a silent daemon: exit code 3 after -w" 3 \
	"Error: jvpnd has not answered within 1 s at $work/sock: see its log, or wait longer with -w." "" -w 1 daemon status
answered "version conflict: exit code 4" 4 "Error: jvpn: session is at 13, you gave 12." \
	"$(error VersionConflict '"version":13,"message":"session is at 13, you gave 12"')" \
	session switch id $sid transport lte if-version 12 reason "a test"
check "the call says what was asked" call_is \
	"{\"method\":\"io.jvpn.Control.SessionSwitch\",\"parameters\":{\"id\":\"$sid\",\"transport\":\"lte\",\"if_version\":12,\"reason\":\"a test\"}}"
answered "not found: exit code 5" 5 "Error: jvpn: there is no peer \"x\"." \
	"$(error NotFound '"what":"x","message":"there is no peer \"x\"."')" peer del x
answered "refused by policy: exit code 6" 6 "Error: jvpn: cooldown for 900 ms." \
	"$(error PolicyRefused '"reason":"POLICY_COOLDOWN_ACTIVE","message":"cooldown for 900 ms"')" session switch id $sid transport lte
answered "system error: exit code 2" 2 "Error: jvpn: no memory." \
	"$(error SystemError '"errno":12,"message":"no memory"')" transport del x
answered "a parameter: quoted, exit code 1" 1 'Error: argument "90s" is wrong: must be less than transport-lost-ttl.' \
	"$(error InvalidParameter '"parameter":"value","message":"must be less than transport-lost-ttl"')" \
	policy set carrier recovery-window 90s
answered "an unknown error: exit code 2" 2 \
	"Error: jvpn: jvpnd answers io.jvpn.Control.Strange: is it of the same release?" "$(error Strange)" daemon status
answered "an answer that is none" 3 "Error: jvpnd gave no usable answer at $work/sock: Bad message." "nonsense" daemon status
answered "success prints nothing" 0 "" '{"parameters":{}}' session terminate id $sid
manual() { # of jvpnd.conf: all knobs and only those, in order; its examples are good configurations
	local file=$here/../../tools/man/jvpnd.conf.5 begin
	[ "$(sed -n '/^\.Ss policy/,/^\.Sh/s/^\.It Cm //p' "$file" | paste -sd, | sed 's/,/, /g')" = "$knobs" ] || return
	(umask 077 && "$tool" key gen >"$work/manual.key") || return
	for begin in '^interface "jvpn0" {$' '^interface "jvpn0" { private'; do
		sed -n "/$begin/,/^\.Ed/p" "$file" | sed "/^\.Ed/d; s|file:[^\"]*|file:$work/manual.key|" >"$work/manual.conf"
		[ -s "$work/manual.conf" ] && "$tool" conf check "$work/manual.conf" || return
	done
}

check "a daemon that starts late is waited for" late

check "jvpnd.conf(5) is true" manual

check "conf check: jvpnd's verdict" config

if [ -d /sys/module/jvpn ]; then
	skip "no module: a sentence with what to do" "the module is loaded"
	skip "no module: making a device" "the module is loaded"
else
	says "no module: a sentence with what to do" 2 \
		'Error: the kernel module jvpn is not loaded: run "modprobe jvpn".' session show
	says "no module: making a device" 2 \
		'Error: the kernel module jvpn is not loaded: run "modprobe jvpn".' link add jv0 mtu 1400
fi
