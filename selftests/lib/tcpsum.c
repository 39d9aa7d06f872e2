// SPDX-License-Identifier: GPL-2.0
/*
 * A TCP transfer of a known length and pace from one network namespace to
 * another. Each end sums what it wrote or read; the sums must be the same.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>

#include "netns.h"

enum { CHUNK = 16384, SUM_LEN = 16 };

struct transfer {
	uint64_t bytes, rate, limit_s, seed;
	const char *file;
};

struct end {
	uint64_t bytes, stall_ns;	/* the longest time without progress */
	uint8_t sum[SUM_LEN];
	int error;
};

static uint64_t xorshift(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

static void sleep_until(uint64_t ns)
{
	const struct timespec ts = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

static void progress(struct end *e, uint64_t *last)
{
	uint64_t now = now_ns();

	if (now - *last > e->stall_ns)
		e->stall_ns = now - *last;
	*last = now;
}

/* Bytes per second are kept by the schedule: chunk i leaves not before its time. */
static struct end write_all(int fd, const struct transfer *t)
{
	struct end e = { 0 };
	crypto_generichash_state sum;
	uint64_t start = now_ns(), x = t->seed, buf[CHUNK / 8];

	crypto_generichash_init(&sum, NULL, 0, SUM_LEN);
	while (e.bytes < t->bytes) {
		size_t len = t->bytes - e.bytes < CHUNK ? t->bytes - e.bytes : CHUNK;

		for (size_t i = 0; i < CHUNK / 8; i++)
			buf[i] = xorshift(&x);
		crypto_generichash_update(&sum, (uint8_t *)buf, len);
		sleep_until(start + e.bytes * 1000000000 / t->rate);
		for (size_t at = 0; at < len;) {
			ssize_t n = write(fd, (uint8_t *)buf + at, len - at);

			if (n < 0) {
				e.error = errno;
				return e;
			}
			at += n;
			e.bytes += n;
		}
	}
	shutdown(fd, SHUT_WR);
	crypto_generichash_final(&sum, e.sum, SUM_LEN);
	return e;
}

static struct end read_all(int fd)
{
	struct end e = { 0 };
	crypto_generichash_state sum;
	uint8_t buf[CHUNK];
	uint64_t last = now_ns();
	ssize_t n;

	crypto_generichash_init(&sum, NULL, 0, SUM_LEN);
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		progress(&e, &last);
		crypto_generichash_update(&sum, buf, n);
		e.bytes += n;
	}
	if (n < 0)
		e.error = errno;
	crypto_generichash_final(&sum, e.sum, SUM_LEN);
	return e;
}

/* The child writes to whoever connects to its listener and hands its end through a pipe. */
static pid_t start_writer(const struct transfer *t, int listener, int result)
{
	struct end e = { 0 };
	pid_t pid = fork();
	int fd;

	if (pid)
		return pid;
	fd = accept(listener, NULL, NULL);
	if (fd < 0) {
		e.error = errno;
	} else {
		e = write_all(fd, t);
		close(fd);
	}
	_exit(write(result, &e, sizeof(e)) != sizeof(e));
}

static void print_end(FILE *out, const char *name, const struct end *e)
{
	char hex[2 * SUM_LEN + 1];

	sodium_bin2hex(hex, sizeof(hex), e->sum, SUM_LEN);
	fprintf(out, ",\n \"%s\": {\"bytes\": %" PRIu64 ", \"blake2b\": \"%s\", \"error\": \"%s\"}",
		name, e->bytes, hex, e->error ? strerror(e->error) : "");
}

static void print_report(const struct transfer *t, const struct end *from, const struct end *to,
			 uint64_t took_ns, bool same)
{
	FILE *out = t->file ? fopen(t->file, "w") : stdout;

	if (!out)
		err(EXIT_FAILURE, "%s", t->file);
	fprintf(out, "{\"seed\": %" PRIu64 ", \"took_ms\": %" PRIu64, t->seed, took_ns / 1000000);
	fprintf(out, ", \"stall_ms\": %" PRIu64 ", \"same\": %s", to->stall_ns / 1000000,
		same ? "true" : "false");
	print_end(out, "from", from);
	print_end(out, "to", to);
	fprintf(out, "}\n");
	if (fclose(out))
		err(EXIT_FAILURE, "%s", t->file ? t->file : "stdout");
}

static void usage(FILE *to, int status)
{
	fputs("Usage: tcpsum [-n BYTES] [-r BYTES/S] [-t S] [-x SEED] [-o FILE] FROM-NETNS ADDRESS\n"
	      "              TO-NETNS ADDRESS PORT\n"
	      "Moves BYTES (1000000) at that rate (1000000) in at most S seconds (60); the receiver\n"
	      "connects. A JSON report with both sums goes to FILE; the status is 0 if they are the\n"
	      "same.\n", to);
	exit(status);
}

static void options(struct transfer *t, int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "n:r:t:x:o:h")) != -1) {
		switch (opt) {
		case 'n':
			t->bytes = netns_number("-n", optarg, 1, 1ull << 40);
			break;
		case 'r':
			t->rate = netns_number("-r", optarg, 1000, 1ull << 40);
			break;
		case 't':
			t->limit_s = netns_number("-t", optarg, 1, 86400);
			break;
		case 'x':
			t->seed = netns_number("-x", optarg, 1, UINT64_MAX);
			break;
		case 'o':
			t->file = optarg;
			break;
		case 'h':
			usage(stdout, EXIT_SUCCESS);
			break;
		default:
			usage(stderr, EXIT_USAGE);
		}
	}
	if (argc - optind != 5)
		usage(stderr, EXIT_USAGE);
}

int main(int argc, char **argv)
{
	struct transfer t = { .bytes = 1000000, .rate = 1000000, .limit_s = 60, .seed = 1 };
	struct end from = { 0 }, to = { 0 };
	struct sockaddr_in addr[2];
	int fd[2], result[2];
	uint64_t start;
	pid_t child;
	bool same;

	options(&t, argc, argv);
	argv += optind;
	if (sodium_init() < 0 || pipe2(result, O_CLOEXEC))
		err(EXIT_FAILURE, "set-up");
	addr[0] = netns_address(argv[1], netns_number("port", argv[4], 1, 65535));
	addr[1] = netns_address(argv[3], 0);
	for (int i = 0; i < 2; i++)
		fd[i] = netns_socket(argv[2 * i], SOCK_STREAM, &addr[i]);
	if (listen(fd[0], 1))
		err(EXIT_FAILURE, "listen");
	child = start_writer(&t, fd[0], result[1]);
	if (child < 0)
		err(EXIT_FAILURE, "fork");
	close(result[1]);
	/* SIGALRM ends this process, the closed socket the other. */
	alarm(t.limit_s);
	start = now_ns();
	if (connect(fd[1], (struct sockaddr *)&addr[0], sizeof(addr[0])))
		to.error = errno;
	else
		to = read_all(fd[1]);
	if (to.error)
		kill(child, SIGKILL);
	if (read(result[0], &from, sizeof(from)) != sizeof(from) && !from.error)
		from.error = ECHILD;
	waitpid(child, NULL, 0);
	same = !from.error && !to.error && from.bytes == t.bytes && to.bytes == t.bytes &&
	       !memcmp(from.sum, to.sum, SUM_LEN);
	print_report(&t, &from, &to, now_ns() - start, same);
	return same ? EXIT_SUCCESS : EXIT_FAILURE;
}
