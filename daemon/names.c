// SPDX-License-Identifier: GPL-2.0
#include <stddef.h>

#include "names.h"

#define JV_NAME(value, name, text...) case (value): return #name;
#define JV_TEXT(value, name, text)    case (value): return text;

#define JV_NAME_FUNCTION(what, TABLE)			\
const char *jv_##what##_name(unsigned int value)	\
{							\
	switch (value) {				\
	TABLE(JV_NAME)					\
	}						\
	return "?";					\
}

JV_NAME_FUNCTION(state, JVPN_STATES)
JV_NAME_FUNCTION(event, JVPN_EVENTS)
JV_NAME_FUNCTION(reason, JVPN_REASONS)
JV_NAME_FUNCTION(detail, JVPN_DETAILS)
JV_NAME_FUNCTION(status, JVPN_STATUSES)
JV_NAME_FUNCTION(drop, JVPN_DROPS)

const char *jv_reason_text(unsigned int value)
{
	switch (value) {
	JVPN_REASONS(JV_TEXT)
	}
	return "?";
}

const char *jv_edge_name(unsigned int value)
{
	static const char *const names[] = {
		"-", "T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8", "T9",
		"T10", "T11", "T12", "T13", "T14", "T15", "T16", "T17", "T18",
		"T19", "T20", "T21", "T22", "T23", "T24",
	};

	return value < sizeof(names) / sizeof(names[0]) ? names[value] : "?";
}
