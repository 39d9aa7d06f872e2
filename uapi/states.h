/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause */
/*
 * The vocabulary of a Jumping VPN session: states, edges, reasons, details,
 * statuses and drop reasons. One table each; code, logs, JSON, documentation
 * and tests all expand these. Values are append-only: a number, once given,
 * keeps its meaning for ever.
 */
#ifndef JVPN_STATES_H
#define JVPN_STATES_H

/* X(value, NAME, "meaning") */
#define JVPN_STATES(X)							       \
	X(1, BIRTH,	 "identity, keys and policy are being created")	       \
	X(2, ATTACHED,	 "one active transport inside its quality floors")     \
	X(3, VOLATILE,	 "still delivering, a quality threshold is violated")  \
	X(4, RECOVERING, "a reattach is in progress")			       \
	X(5, DEGRADED,	 "protective mode: damped switching")		       \
	X(6, TERMINATED, "absorbing; keys wiped, a bounded tombstone remains")

/* What drives a session from state to state. X(value, NAME, "meaning") */
#define JVPN_EVENTS(X)							       \
	X(1,  START,		  "the session object was created")	       \
	X(2,  HANDSHAKE_OK,	  "handshake authenticated and committed")     \
	X(3,  HANDSHAKE_FAIL,	  "handshake refused, failed or timed out")    \
	X(4,  QUALITY_BAD,	  "threshold violated for volatility-timeout") \
	X(5,  QUALITY_GOOD,	  "inside the floors for stability-window")    \
	X(6,  TRANSPORT_DEAD,	  "the bound transport delivers no more")      \
	X(7,  SWITCH_PLANNED,	  "a better candidate, limits allow")	       \
	X(8,  SWITCH_DENIED,	  "a switch is wanted and denied")	       \
	X(9,  NO_CANDIDATE,	  "a switch is wanted, nothing to switch to")  \
	X(10, VOLATILE_TOO_LONG,  "volatile-to-degraded is over")	       \
	X(11, REATTACH_OK,	  "reattach validated and committed")	       \
	X(12, REATTACH_ABANDONED, "planned switch given up, old path alive")   \
	X(13, RECOVERY_EXHAUSTED, "recovery window or attempts exhausted")     \
	X(14, RECOVERY_FLAP,	  "the switch limit allows no attempt")	       \
	X(15, RECOVERY_RETRY,	  "cooldown over, candidate and rate allow")   \
	X(16, DEGRADED_TOO_LONG,  "degraded-max or the retry cycles are over") \
	X(17, TRANSPORT_TTL,	  "without transport for transport-lost-ttl")  \
	X(18, SESSION_TTL,	  "older than session-max-lifetime")	       \
	X(19, PEER_CLOSE,	  "authenticated close or fatal verdict")      \
	X(20, OPERATOR_TERMINATE, "command of the operator")		       \
	X(21, SECURITY_FAILURE,	  "proven security failure")		       \
	X(22, OWNERSHIP_CONFLICT, "ownership is provably split")	       \
	X(23, OWNER_LOST,	  "lease lost past its bound")		       \
	X(24, INVARIANT_VIOLATION, "a run-time invariant check failed")	       \
	X(25, VERSION_EXHAUSTED,  "a version is near overflow")		       \
	X(26, KEY_EXPIRED,	  "keys expired and no rekey is possible")     \
	X(27, OWNER_ACQUIRED,	  "a new owner or incarnation took over")      \
	X(28, TICK,		  "time passed: deadlines are looked at")

/* Primary reason of a transition. X(value, NAME, "sentence") */
#define JVPN_REASONS(X)							       \
	X(0,  NONE,			"no reason")			       \
	X(1,  HANDSHAKE_OK,		"handshake authenticated")	       \
	X(2,  HANDSHAKE_FAIL,		"handshake failed")		       \
	X(3,  VOLATILITY_SIGNAL,	"quality threshold violated")	       \
	X(4,  TRANSPORT_DEAD,		"transport delivers no more")	       \
	X(5,  HEALTH_RECOVERED,		"quality back inside its floors")      \
	X(6,  RECOVERY_START,		"planned switch to a better path")     \
	X(7,  QUALITY_FLOOR_VIOLATION,	"volatile for too long")	       \
	X(8,  POLICY_FLAP_LIMIT,	"switch limit reached")		       \
	X(9,  NO_CANDIDATE,		"no other transport to switch to")     \
	X(10, REATTACH_SUCCESS,		"reattach validated and committed")    \
	X(11, REATTACH_REJECT,		"reattach refused")		       \
	X(12, RECOVERY_BOUNDS_EXCEEDED,	"recovery window or attempts over")    \
	X(13, EXIT_DEGRADED_MODE,	"stable again")			       \
	X(14, RECOVERY_RETRY,		"another recovery attempt")	       \
	X(15, POLICY_TERMINATION,	"degraded for too long")	       \
	X(16, TTL_TRANSPORT_LOSS_EXPIRED, "without transport for too long")    \
	X(17, TTL_SESSION_EXPIRED,	"maximum lifetime reached")	       \
	X(18, PEER_TERMINATED,		"the peer ended the session")	       \
	X(19, OPERATOR_TERMINATED,	"the operator ended the session")      \
	X(20, SECURITY_FAILURE,		"proven security failure")	       \
	X(21, OWNERSHIP_CONFLICT,	"ownership provably split")	       \
	X(22, OWNER_LOST,		"ownership lost")		       \
	X(23, INVARIANT_VIOLATION,	"invariant check failed")	       \
	X(24, VERSION_EXHAUSTED,	"version near overflow")	       \
	X(25, KEY_EXPIRED,		"keys expired, no rekey possible")     \
	X(26, OWNERSHIP_TRANSFERRED,	"a new owner took over")	       \
	X(27, POLICY_COOLDOWN_ACTIVE,	"inside the switch cooldown")	       \
	X(28, POLICY_DENY,		"refused by policy")		       \
	X(29, INVALID_STATE_TRANSITION,	"the state table has no such edge")    \
	/* verdicts of the validation of a request, in its order */	       \
	X(40, MALFORMED,		"wrong length or reserved bits set")   \
	X(41, UNKNOWN_TYPE,		"unknown message type")		       \
	X(42, PROTOCOL_VERSION_UNSUPPORTED, "unknown protocol version")	       \
	X(43, RATE_LIMITED,		"rate limit")			       \
	X(44, SESSION_NOT_FOUND,	"no such session")		       \
	X(45, SESSION_EXPIRED,		"session has ended")		       \
	X(46, INVALID_STATE_FOR_REATTACH, "state allows no reattach")	       \
	X(47, NOT_AUTHORITATIVE_OWNER,	"this node does not own the session")  \
	X(48, STORE_UNAVAILABLE,	"ownership store not reachable")       \
	X(49, AUTH_FAIL,		"proof of possession failed")	       \
	X(50, REPLAY_DETECTED,		"request was seen before")	       \
	X(51, NONCE_STALE,		"request is older than the last one")  \
	X(52, STALE_STATE_VERSION,	"binding version is outdated")	       \
	X(53, VERSION_FUTURE_REJECTED,	"binding version was never given")     \
	X(54, INVALID_TRANSPORT_CANDIDATE, "transport is not acceptable")      \
	X(55, DUAL_BIND_FORBIDDEN,	"another transport is bound")	       \
	X(56, CAS_CONFLICT,		"another commit was first")

/*
 * What exactly happened: the detail beside a reason, and the reason byte of
 * CLOSE, REATTACH and SWITCH (PROTOCOL.md, "Reason codes"). X(value, NAME)
 */
#define JVPN_DETAILS(X)							       \
	X(0, NONE) X(1, TRANSPORT_DEAD) X(2, LINK_DOWN) X(3, QUALITY)	       \
	X(4, VOLATILITY_SIGNAL) X(5, ADMIN) X(6, KEY_AGE) X(7, KEY_EXHAUSTED)  \
	X(8, NAT_REBIND) X(9, NAT_CHECK) X(10, DRAIN) X(11, OWNER_CHANGED)     \
	X(12, OWNERSHIP_LOST) X(13, NOT_OWNER) X(14, UNAVAILABLE)	       \
	X(15, VERSION) X(16, REPLAY) X(17, AUTH_FAIL) X(18, FRESHNESS_INVALID) \
	X(19, RATE_LIMITED) X(20, COOLDOWN) X(21, FLAP_LIMIT)		       \
	X(22, NO_BETTER_PATH) X(23, RECOVERY_SLOW)			       \
	X(24, RECOVERY_BOUNDS_EXCEEDED) X(25, SESSION_EXPIRED)		       \
	X(26, HANDSHAKE_OK) X(27, HANDSHAKE_TIMEOUT) X(28, HANDSHAKE_REJECT)   \
	X(29, CONFIRMED) X(30, REATTACHED) X(31, SWITCHED) X(32, REKEYED)      \
	X(33, QUALITY_RESTORED) X(34, STABLE) X(35, RX_SILENT) X(36, RX_OK)    \
	X(37, COOKIE) X(38, SWITCH_TRY) X(39, VERSION_ADVANCE) X(40, POLICY)   \
	X(41, SESSION_NOT_FOUND) X(42, PEER_CLOSED) X(43, LOCAL_CLOSED)	       \
	X(44, AUTH_WITHDRAWN) X(45, INVARIANT) X(46, START) X(47, INTERNAL)

/* Status byte of REATTACH_RESP, SWITCH_RESP and INIT_RESP. X(value, NAME) */
#define JVPN_STATUSES(X)						       \
	X(0, OK) X(1, VERSION_MISMATCH) X(2, RATE_LIMITED) X(3, UNAVAILABLE)   \
	X(4, STALE_OWNER) X(5, POLICY) X(6, TERMINATED)

/*
 * Every legal edge. Columns: edge, from, event, where the session may be bound
 * when it is taken, to, reason, bound afterwards.
 * "bound" columns: ANY, YES, NO; afterwards: BIND, KEEP, DROP.
 * ANYLIVE stands for every state but TERMINATED; taken from BIRTH such an edge is
 * T2 with the cause as its reason, and T17 and T24 do not exist from BIRTH.
 * What is not listed is refused and mutates nothing.
 */
#define JVPN_EDGES(X)							       \
	X(T1,  BIRTH,	   HANDSHAKE_OK,	ANY, ATTACHED,	 HANDSHAKE_OK,		     BIND) \
	X(T2,  BIRTH,	   HANDSHAKE_FAIL,	ANY, TERMINATED, HANDSHAKE_FAIL,	     DROP) \
	X(T3,  ATTACHED,   QUALITY_BAD,		YES, VOLATILE,	 VOLATILITY_SIGNAL,	     KEEP) \
	X(T4,  ATTACHED,   TRANSPORT_DEAD,	YES, RECOVERING, TRANSPORT_DEAD,	     DROP) \
	X(T5,  VOLATILE,   QUALITY_GOOD,	YES, ATTACHED,	 HEALTH_RECOVERED,	     KEEP) \
	X(T6,  VOLATILE,   TRANSPORT_DEAD,	YES, RECOVERING, TRANSPORT_DEAD,	     DROP) \
	X(T7,  VOLATILE,   SWITCH_PLANNED,	YES, RECOVERING, RECOVERY_START,	     KEEP) \
	X(T8,  VOLATILE,   VOLATILE_TOO_LONG,	YES, DEGRADED,	 QUALITY_FLOOR_VIOLATION,    KEEP) \
	X(T8,  VOLATILE,   SWITCH_DENIED,	YES, DEGRADED,	 POLICY_FLAP_LIMIT,	     KEEP) \
	X(T8,  VOLATILE,   NO_CANDIDATE,	YES, DEGRADED,	 NO_CANDIDATE,		     KEEP) \
	X(T9,  RECOVERING, REATTACH_OK,		ANY, ATTACHED,	 REATTACH_SUCCESS,	     BIND) \
	X(T10, RECOVERING, REATTACH_ABANDONED,	YES, VOLATILE,	 REATTACH_REJECT,	     KEEP) \
	X(T11, RECOVERING, RECOVERY_EXHAUSTED,	ANY, DEGRADED,	 RECOVERY_BOUNDS_EXCEEDED,   KEEP) \
	X(T11, RECOVERING, RECOVERY_FLAP,	ANY, DEGRADED,	 POLICY_FLAP_LIMIT,	     KEEP) \
	X(T12, RECOVERING, RECOVERY_EXHAUSTED,	ANY, TERMINATED, RECOVERY_BOUNDS_EXCEEDED,   DROP) \
	X(T13, DEGRADED,   QUALITY_GOOD,	YES, ATTACHED,	 EXIT_DEGRADED_MODE,	     KEEP) \
	X(T14, DEGRADED,   RECOVERY_RETRY,	ANY, RECOVERING, RECOVERY_RETRY,	     KEEP) \
	X(T15, DEGRADED,   TRANSPORT_DEAD,	YES, RECOVERING, TRANSPORT_DEAD,	     DROP) \
	X(T16, DEGRADED,   DEGRADED_TOO_LONG,	ANY, TERMINATED, POLICY_TERMINATION,	     DROP) \
	X(T17, ANYLIVE,	   TRANSPORT_TTL,	NO,  TERMINATED, TTL_TRANSPORT_LOSS_EXPIRED, DROP) \
	X(T18, ANYLIVE,	   SESSION_TTL,		ANY, TERMINATED, TTL_SESSION_EXPIRED,	     DROP) \
	X(T19, ANYLIVE,	   PEER_CLOSE,		ANY, TERMINATED, PEER_TERMINATED,	     DROP) \
	X(T19, ANYLIVE,	   OPERATOR_TERMINATE,	ANY, TERMINATED, OPERATOR_TERMINATED,	     DROP) \
	X(T20, ANYLIVE,	   SECURITY_FAILURE,	ANY, TERMINATED, SECURITY_FAILURE,	     DROP) \
	X(T21, ANYLIVE,	   OWNERSHIP_CONFLICT,	ANY, TERMINATED, OWNERSHIP_CONFLICT,	     DROP) \
	X(T21, ANYLIVE,	   OWNER_LOST,		ANY, TERMINATED, OWNER_LOST,		     DROP) \
	X(T22, ANYLIVE,	   INVARIANT_VIOLATION,	ANY, TERMINATED, INVARIANT_VIOLATION,	     DROP) \
	X(T22, ANYLIVE,	   VERSION_EXHAUSTED,	ANY, TERMINATED, VERSION_EXHAUSTED,	     DROP) \
	X(T23, ANYLIVE,	   KEY_EXPIRED,		ANY, TERMINATED, KEY_EXPIRED,		     DROP) \
	X(T24, ANYLIVE,	   OWNER_ACQUIRED,	ANY, RECOVERING, OWNERSHIP_TRANSFERRED,	     KEEP)

/*
 * Why the kernel dropped a packet or a datagram. X(value, NAME, "meaning");
 * counted per device, and per session where one was identified. tx_ are inner
 * packets on their way out, rx_ datagrams that came in, ctl_ control datagrams.
 */
#define JVPN_DROPS(X)							       \
	X(0,  TX_NO_SESSION,	"no session owns the inner destination")       \
	X(1,  TX_NO_TRANSPORT,	"the session has no transport")		       \
	X(2,  TX_NO_KEY,	"the session has no key to send with")	       \
	X(3,  TX_EXHAUSTED,	"the key's packet counter is used up")	       \
	X(5,  TX_MALFORMED,	"not a well-formed IPv4 or IPv6 packet")       \
	X(6,  TX_TOO_BIG,	"larger than the device's MTU")		       \
	X(7,  TX_ROUTE,		"no route to the remote address")	       \
	X(8,  TX_NOMEM,		"out of memory while sending")		       \
	X(9,  TX_LOOP,		"the route leads back into the tunnel")	       \
	X(10, TX_LEASE_EXPIRED,	"the lease of the device is over")	       \
	X(16, RX_MALFORMED,	"wrong length or reserved bits set")	       \
	X(17, RX_UNKNOWN_TYPE,	"unknown message type")			       \
	X(18, RX_UNKNOWN_CID,	"no key with this receiver id")		       \
	X(19, RX_AUTH,		"authentication failed")		       \
	X(20, RX_REPLAY,	"counter was seen before")		       \
	X(21, RX_WINDOW,	"counter is older than the replay window")     \
	X(22, RX_SOURCE,	"inner source does not belong to the session") \
	X(23, RX_INNER,		"inner packet is malformed")		       \
	X(24, RX_CSUM,		"checksum flag where none is allowed")	       \
	X(25, RX_FRAME,		"malformed control frame")		       \
	X(26, RX_STATE,		"session does not carry data in this state")   \
	X(27, RX_NOMEM,		"out of memory while receiving")	       \
	X(28, RX_DEVICE_DOWN,	"the device is down")			       \
	X(29, RX_BACKLOG,	"the stack takes no more at the moment")       \
	X(30, RX_LEASE_EXPIRED,	"the lease of the device is over")	       \
	X(31, RX_STRICT_SOURCE,	"not from the address that is bound")	       \
	X(32, CTL_VERSION,	"unknown protocol version")		       \
	X(33, CTL_TAG,		"tag does not verify")			       \
	X(34, CTL_COOKIE,	"no valid cookie, RETRY not allowed")	       \
	X(35, CTL_EPOCH,	"SWITCH names no live key of the current term") \
	X(36, CTL_PREFIX_RATE,	"source prefix over its rate")		       \
	X(37, CTL_UPCALL_RATE,	"daemon over its rate")			       \
	X(38, CTL_NO_DAEMON,	"no daemon to take it")			       \
	X(39, CTL_ROLE,		"message is not for this role")

#define JVPN_DROP_MAX 40

#endif /* JVPN_STATES_H */
