/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Lines for people, on standard error, never blocking: what the reader does not
 * take is dropped and counted. What happened to sessions is told by audit.h.
 * Any thread. No key, no payload ever goes in.
 */
#ifndef JV_LOG_H
#define JV_LOG_H

#include <stdint.h>

enum jv_log_level { JV_LOG_ERR = 3, JV_LOG_WARN = 4, JV_LOG_INFO = 6, JV_LOG_DEBUG = 7 };

/* "err", "warn", "info", "debug". Returns the level or -1. */
int jv_log_level_parse(const char *name);
const char *jv_log_level_name(enum jv_log_level level);
void jv_log_set_level(enum jv_log_level level);
enum jv_log_level jv_log_get_level(void);

/* One line; no newline at the end. */
void jv_log(enum jv_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Lines lost because nobody read them. */
uint64_t jv_log_dropped(void);

#define jv_err(...)   jv_log(JV_LOG_ERR, __VA_ARGS__)
#define jv_warn(...)  jv_log(JV_LOG_WARN, __VA_ARGS__)
#define jv_info(...)  jv_log(JV_LOG_INFO, __VA_ARGS__)
#define jv_debug(...) jv_log(JV_LOG_DEBUG, __VA_ARGS__)

#endif /* JV_LOG_H */
