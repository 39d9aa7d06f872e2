/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What became of one object of a netlink request.
 */
#ifndef JVPN_VERDICT_H
#define JVPN_VERDICT_H

#include <linux/types.h>

/**
 * struct jvpn_verdict - answer for one object
 * @error: 0 or a negative errno
 * @term: current binding version of the session named, after the object
 * @bver: see @term
 * @state_version: current one of that session
 * @message: why not; a sentence that names the offending value
 */
struct jvpn_verdict {
	int error;
	u64 term;
	u64 bver;
	u64 state_version;
	char message[192];
};

int jvpn_refuse(struct jvpn_verdict *v, int error, const char *fmt, ...)
	__printf(3, 4);

#endif /* JVPN_VERDICT_H */
