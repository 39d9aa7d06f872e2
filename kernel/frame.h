/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The shape of control frames. They come out of an AEAD, so the sender is known;
 * it is still not trusted.
 */
#ifndef JVPN_FRAME_H
#define JVPN_FRAME_H

#include "pure.h"
#include "../uapi/wire.h"

#define JVPN_PROBE_FLAGS \
	(JVPN_PROBE_CANDIDATE | JVPN_PROBE_NAT_CHECK | JVPN_PROBE_CONFIRM)

/* PROBE and PROBE_ACK; a PROBE has no cookie, so its zeros begin earlier. */
static inline bool jvpn_probe_well_formed(const u8 *frame, size_t len,
					  size_t zero_from)
{
	const struct jvpn_probe *probe = (const struct jvpn_probe *)frame;

	return len >= sizeof(*probe) && !(probe->flags & ~JVPN_PROBE_FLAGS) &&
	       probe->path_id < JVPN_PATH_MAX && !probe->zero &&
	       !memchr_inv(frame + zero_from, 0, len - zero_from);
}

static inline bool jvpn_close_well_formed(const u8 *frame, size_t len)
{
	const struct jvpn_close *close = (const struct jvpn_close *)frame;

	return len == sizeof(*close) &&
	       !memchr_inv(close->zero6, 0, sizeof(close->zero6)) &&
	       !memchr_inv(close->zero, 0, sizeof(close->zero));
}

static inline bool jvpn_notice_well_formed(const u8 *frame, size_t len)
{
	const struct jvpn_notice *notice = (const struct jvpn_notice *)frame;

	return len >= sizeof(*notice) && len <= sizeof(*notice) + JVPN_NOTICE_MAX &&
	       notice->kind && !memchr_inv(notice->zero, 0, sizeof(notice->zero));
}

/**
 * jvpn_frame_check() - classify a decrypted control frame
 * @frame: plaintext whose first byte has a high nibble of 0
 * @len: its length, bytes; at least 1
 *
 * Return: the frame type if it is known and well-formed, 0 for a type to be
 * ignored, -EBADMSG for a malformed frame.
 */
static inline int jvpn_frame_check(const u8 *frame, size_t len)
{
	bool good;

	switch (frame[0]) {
	case JVPN_F_PROBE:
		good = jvpn_probe_well_formed(frame, len,
					      offsetof(struct jvpn_probe, cookie));
		break;
	case JVPN_F_PROBE_ACK:
		good = jvpn_probe_well_formed(frame, len,
					      sizeof(struct jvpn_probe));
		break;
	case JVPN_F_CLOSE:
		good = jvpn_close_well_formed(frame, len);
		break;
	case JVPN_F_NOTICE:
		good = jvpn_notice_well_formed(frame, len);
		break;
	default:
		return 0;
	}
	return good ? frame[0] : -EBADMSG;
}

#endif /* JVPN_FRAME_H */
