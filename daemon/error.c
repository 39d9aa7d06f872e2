// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "error.h"

static void set(struct jv_error *err, int code, const char *parameter, const char *fmt, va_list ap)
{
	err->code = code;
	snprintf(err->parameter, sizeof(err->parameter), "%s", parameter);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
}

int jv_error_set(struct jv_error *err, int code, const char *fmt, ...)
{
	va_list ap;

	if (err) {
		va_start(ap, fmt);
		set(err, code, "", fmt, ap);
		va_end(ap);
	}
	return -code;
}

int jv_error_param(struct jv_error *err, const char *parameter, const char *fmt, ...)
{
	va_list ap;

	if (err) {
		va_start(ap, fmt);
		set(err, EINVAL, parameter, fmt, ap);
		va_end(ap);
	}
	return -EINVAL;
}
