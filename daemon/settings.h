/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The configuration of a running daemon: read anew on request, shown, and kept. What
 * jvpn-ip is told lasts: it is written to JV_TOLD in the state directory, in the same
 * words as any configuration file, after every change. A thread of its own writes,
 * so that a slow disk holds up nobody; a file that was edited meanwhile is left alone.
 * Loop thread.
 */
#ifndef JV_SETTINGS_H
#define JV_SETTINGS_H

#include "config.h"
#include "loop.h"

struct jv_settings;

/*
 * @config is what runs, as it was read from @source; @effective has daemon and log as
 * options and defaults left them. Strings in @source outlive it. NULL and a sentence.
 */
struct jv_settings *jv_settings_new(struct jv_loop *loop, struct jv_node *node,
				    const struct jv_config_source *source,
				    const struct jv_config *config,
				    const struct jv_config *effective, struct jv_error *err);
/* Start the writer: it has the capabilities that its caller has left. */
int jv_settings_start(struct jv_settings *settings, struct jv_error *err);
/* What is being written is given @drain_ms. NULL is fine. */
void jv_settings_free(struct jv_settings *settings, uint32_t drain_ms);

/* Read everything anew and apply it, or keep all as it is and say why in @complaints. 0 or -1. */
int jv_settings_reload(struct jv_settings *settings, FILE *complaints);

/* What runs, as text. The caller frees it. NULL: no memory. */
char *jv_settings_text(const struct jv_settings *settings);

/* Keep what was told. @done is called once that is so; @why if it is not, else NULL. */
void jv_settings_save(struct jv_settings *settings, void (*done)(void *arg, const char *why),
		      void *arg);
/* @done is not called any more for @arg. */
void jv_settings_forget(struct jv_settings *settings, const void *arg);

/* Why what was told is not kept; NULL: it is. */
const char *jv_settings_trouble(const struct jv_settings *settings);

/* Where it is kept. */
const char *jv_settings_path(const struct jv_settings *settings);

#endif /* JV_SETTINGS_H */
