/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Numbers and names of the session vocabulary, expanded from uapi/states.h so
 * that neither can drift from the table.
 */
#ifndef JV_NAMES_H
#define JV_NAMES_H

#include "../uapi/states.h"

#define JV_ENUM_STATE(value, name, text...)  JV_STATE_##name = (value),
#define JV_ENUM_EVENT(value, name, text...)  JV_EVENT_##name = (value),
#define JV_ENUM_REASON(value, name, text...) JV_REASON_##name = (value),
#define JV_ENUM_DETAIL(value, name)	     JV_DETAIL_##name = (value),
#define JV_ENUM_STATUS(value, name)	     JV_STATUS_##name = (value),

enum jv_state { JVPN_STATES(JV_ENUM_STATE) };
enum jv_event_kind { JVPN_EVENTS(JV_ENUM_EVENT) };
enum jv_reason { JVPN_REASONS(JV_ENUM_REASON) };
enum jv_detail { JVPN_DETAILS(JV_ENUM_DETAIL) };
enum jv_status { JVPN_STATUSES(JV_ENUM_STATUS) };

/* Edges T1..T25 by number; 0 is no edge. */
enum jv_edge {
	JV_EDGE_NONE, JV_EDGE_T1, JV_EDGE_T2, JV_EDGE_T3, JV_EDGE_T4,
	JV_EDGE_T5, JV_EDGE_T6, JV_EDGE_T7, JV_EDGE_T8, JV_EDGE_T9,
	JV_EDGE_T10, JV_EDGE_T11, JV_EDGE_T12, JV_EDGE_T13, JV_EDGE_T14,
	JV_EDGE_T15, JV_EDGE_T16, JV_EDGE_T17, JV_EDGE_T18, JV_EDGE_T19,
	JV_EDGE_T20, JV_EDGE_T21, JV_EDGE_T22, JV_EDGE_T23, JV_EDGE_T24,
};

/* Each returns the name as it stands in the table, or "?" for a number that is not there. */
const char *jv_state_name(unsigned int value);
const char *jv_event_name(unsigned int value);
const char *jv_reason_name(unsigned int value);
const char *jv_detail_name(unsigned int value);
const char *jv_status_name(unsigned int value);
const char *jv_drop_name(unsigned int value);

/* "T1".."T24", or "-" for no edge. */
const char *jv_edge_name(unsigned int value);

/* The sentence that goes with a reason, or "?". */
const char *jv_reason_text(unsigned int value);

#endif /* JV_NAMES_H */
