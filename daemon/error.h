/* SPDX-License-Identifier: GPL-2.0 */
/* One failure for people: an errno and a sentence that names the offending value. */
#ifndef JV_ERROR_H
#define JV_ERROR_H

struct jv_error {
	int code;			/* errno value, positive; 0: none */
	char parameter[32];		/* the argument that is wrong, or "" */
	char text[256];			/* no trailing newline */
};

/* Fill @err (may be NULL) and return -@code. */
int jv_error_set(struct jv_error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same for a wrong argument: code EINVAL, @parameter names it. */
int jv_error_param(struct jv_error *err, const char *parameter, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif /* JV_ERROR_H */
