/* SPDX-License-Identifier: GPL-2.0 */
/* From a configuration to what runs. Loop thread. */
#ifndef JV_APPLY_H
#define JV_APPLY_H

#include "config.h"
#include "error.h"
#include "node.h"

/* Add to what there is: policies, links, transports, peers. Stops at the first failure. */
int jv_apply(struct jv_node *node, const struct jv_config *config, struct jv_error *err);

/*
 * Make @node what @config says, no more and no less; @config is valid as a whole.
 * What stays as it is notices nothing; a peer or transport that changed is taken away
 * and comes back. 0, or -errno with a sentence, and everything is as it was: -EBUSY if
 * something cannot change while it runs, before anything was touched.
 */
int jv_apply_whole(struct jv_node *node, const struct jv_config *config, struct jv_error *err);

#endif /* JV_APPLY_H */
