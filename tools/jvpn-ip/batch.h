/* SPDX-License-Identifier: GPL-2.0 */
/* Commands from a file, one per line. */
#ifndef JVPN_IP_BATCH_H
#define JVPN_IP_BATCH_H

#include "grammar.h"

/*
 * Run every line of @file ("-": standard input) by @run, until one fails; @force: all.
 * Empty lines and what follows a # are skipped; words with spaces are quoted. What is
 * wrong is told with FILE:LINE. Returns the exit code of the first that failed.
 */
int batch_run(const char *file, bool force, int (*run)(struct words *words));

#endif /* JVPN_IP_BATCH_H */
