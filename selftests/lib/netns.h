/* SPDX-License-Identifier: GPL-2.0 */
/* Sockets of several network namespaces in one process: a socket stays where it was opened. */
#ifndef SELFTESTS_NETNS_H
#define SELFTESTS_NETNS_H

#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 64 };

/* Opens an IPv4 socket in the namespace of that name (as in ip-netns(8)) and binds it. */
static inline int netns_socket(const char *netns, int type, const struct sockaddr_in *local)
{
	const int on = 1;
	char path[256];
	int home, there, fd;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	there = open(path, O_RDONLY | O_CLOEXEC);
	if (home < 0 || there < 0 || setns(there, CLONE_NEWNET))
		err(EXIT_FAILURE, "network namespace '%s'", netns);
	fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	if (fd < 0 || setns(home, CLONE_NEWNET))
		err(EXIT_FAILURE, "socket in '%s'", netns);
	close(home);
	close(there);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)local, sizeof(*local)))
		err(EXIT_FAILURE, "bind to %s port %u in '%s'", inet_ntoa(local->sin_addr),
		    ntohs(local->sin_port), netns);
	return fd;
}

static inline struct sockaddr_in netns_address(const char *text, unsigned int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET, text, &sin.sin_addr) != 1)
		errx(EXIT_USAGE, "'%s': not an IPv4 address", text);
	return sin;
}

/* A whole number in [min, max], or the end of the program. */
static inline uint64_t netns_number(const char *what, const char *text, uint64_t min,
				    uint64_t max)
{
	char *end;
	uint64_t n = strtoull(text, &end, 10);

	if (*end || end == text || *text == '-' || n < min || n > max)
		errx(EXIT_USAGE, "%s '%s': a number from %ju to %ju", what, text, (uintmax_t)min,
		     (uintmax_t)max);
	return n;
}

/* CLOCK_MONOTONIC, ns: the same in every network namespace. */
static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

#endif /* SELFTESTS_NETNS_H */
