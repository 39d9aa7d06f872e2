// SPDX-License-Identifier: GPL-2.0
/*
 * Sends a numbered datagram at a fixed interval both ways between two network
 * namespaces and tells what was lost and for how long nothing came through.
 *
 * One thread holds all four ends, so no scheduling stands between a packet and
 * its time stamps. An outage lasts from sending its first lost packet until the
 * first delivery that RECOVERED packets in a row begin with.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

#include "netns.h"

enum { RECOVERED = 10, MARKS = 64 };

/* A gap that opens so shortly before a mark belongs to it: its packets were on their way. */
#define MARK_SLACK_NS 50000000ull
#define DRAIN_NS      500000000ull

union datagram {
	struct packet {
		uint64_t magic, seq, sent_ns;
	} packet;
	uint8_t bytes[1400];
};

#define MAGIC 0x6d61657274737664ull

struct record {
	uint64_t sent_ns, arrived_ns;
};

struct direction {
	const char *name;
	int fd_out, fd_in;
	struct sockaddr_in to;
	struct record *record;
	uint64_t sent, refused, arrived, duplicate, reordered, highest;
};

struct stream {
	uint64_t interval_ns, limit;
	size_t size;
	struct direction dir[2];
	uint64_t mark_ns[MARKS];
	unsigned int marks;
	uint64_t late_ns;	/* the worst distance of two sends, less the interval */
};

static void send_one(struct stream *s, struct direction *d)
{
	uint64_t now = now_ns(), last = d->sent ? d->record[d->sent - 1].sent_ns : now;
	union datagram out = { .packet = { .magic = MAGIC, .seq = d->sent, .sent_ns = now } };

	if (now - last > s->interval_ns + s->late_ns)
		s->late_ns = now - last - s->interval_ns;
	d->record[d->sent++].sent_ns = now;
	/* No route, no buffer, link gone: the packet counts as sent, and as lost. */
	if (sendto(d->fd_out, &out, s->size, MSG_DONTWAIT, (struct sockaddr *)&d->to,
		   sizeof(d->to)) < 0)
		d->refused++;
}

static void receive_all(struct direction *d)
{
	union datagram in;
	ssize_t len;

	/* An ICMP error is reported here once; it is no datagram and no end. */
	while ((len = recv(d->fd_in, &in, sizeof(in), MSG_DONTWAIT)) >= 0 || errno != EAGAIN) {
		const struct packet *p = &in.packet;

		if (len < (ssize_t)sizeof(*p) || p->magic != MAGIC || p->seq >= d->sent)
			continue;
		if (d->record[p->seq].arrived_ns) {
			d->duplicate++;
			continue;
		}
		d->record[p->seq].arrived_ns = now_ns();
		d->arrived++;
		if (p->seq < d->highest)
			d->reordered++;
		else
			d->highest = p->seq;
	}
}

static bool came_back(const struct direction *d, uint64_t seq)
{
	for (uint64_t i = seq; i < seq + RECOVERED && i < d->sent; i++)
		if (!d->record[i].arrived_ns)
			return false;
	return seq < d->sent;
}

static int mark_of(const struct stream *s, uint64_t ns)
{
	int mark = 0;

	for (unsigned int i = 0; i < s->marks && s->mark_ns[i] <= ns + MARK_SLACK_NS; i++)
		mark = i + 1;
	return mark;
}

static uint64_t slowest_ns(const struct direction *d)
{
	uint64_t slowest = 0;

	for (const struct record *r = d->record; r < d->record + d->sent; r++)
		if (r->arrived_ns && r->arrived_ns - r->sent_ns > slowest)
			slowest = r->arrived_ns - r->sent_ns;
	return slowest;
}

/* From the first lost packet at @seq on. Returns the packet that everything is back with. */
static uint64_t print_gap(FILE *out, const struct stream *s, const struct direction *d, uint64_t seq)
{
	const uint64_t first = seq, sent_ns = d->record[seq].sent_ns;
	uint64_t lost = 0, back_ns;

	while (seq < d->sent && !came_back(d, seq))
		lost += !d->record[seq++].arrived_ns;
	fprintf(out, "\n    {\"mark\": %d, \"first\": %" PRIu64 ", \"lost\": %" PRIu64,
		mark_of(s, sent_ns), first, lost);
	fprintf(out, ", \"sent_ns\": %" PRIu64, sent_ns);
	if (seq == d->sent) {
		fprintf(out, ", \"back_ns\": null, \"outage_us\": null}");
	} else {
		back_ns = d->record[seq].arrived_ns;
		fprintf(out, ", \"back_ns\": %" PRIu64 ", \"outage_us\": %" PRIu64 "}", back_ns,
			(back_ns - sent_ns) / 1000);
	}
	return seq;
}

static void print_direction(FILE *out, const struct stream *s, const struct direction *d)
{
	const char *comma = "";

	fprintf(out, "  {\"name\": \"%s\", \"sent\": %" PRIu64 ", \"refused\": %" PRIu64, d->name,
		d->sent, d->refused);
	fprintf(out, ", \"lost\": %" PRIu64 ", \"duplicate\": %" PRIu64, d->sent - d->arrived,
		d->duplicate);
	fprintf(out, ", \"reordered\": %" PRIu64 ", \"slowest_us\": %" PRIu64 ", \"gaps\": [",
		d->reordered, slowest_ns(d) / 1000);
	for (uint64_t seq = 0; seq < d->sent; seq++) {
		if (d->record[seq].arrived_ns)
			continue;
		fputs(comma, out);
		seq = print_gap(out, s, d, seq);
		comma = ",";
	}
	fprintf(out, "]}");
}

static void print_report(FILE *out, const struct stream *s)
{
	fprintf(out, "{\"interval_us\": %" PRIu64 ", \"late_us\": %" PRIu64 ", \"marks\": [",
		s->interval_ns / 1000, s->late_ns / 1000);
	for (unsigned int i = 0; i < s->marks; i++)
		fprintf(out, "%s%" PRIu64, i ? ", " : "", s->mark_ns[i]);
	fprintf(out, "], \"directions\": [\n");
	print_direction(out, s, &s->dir[0]);
	fprintf(out, ",\n");
	print_direction(out, s, &s->dir[1]);
	fprintf(out, "\n]}\n");
	if (fclose(out))
		err(EXIT_FAILURE, "report");
}

static int signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		err(EXIT_FAILURE, "signalfd");
	return fd;
}

static int ticker(uint64_t interval_ns)
{
	const struct timespec each = { .tv_sec = interval_ns / 1000000000, .tv_nsec = interval_ns % 1000000000 };
	const struct itimerspec it = { .it_interval = each, .it_value = each };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

	if (fd < 0 || timerfd_settime(fd, 0, &it, NULL))
		err(EXIT_FAILURE, "timerfd");
	return fd;
}

/* Until the end signal or the limit, and then for what is still on its way. */
static void run(struct stream *s, int signal_fd)
{
	struct pollfd fds[] = {
		{ .fd = ticker(s->interval_ns), .events = POLLIN },
		{ .fd = signal_fd, .events = POLLIN },
		{ .fd = s->dir[0].fd_in, .events = POLLIN },
		{ .fd = s->dir[1].fd_in, .events = POLLIN },
	};
	uint64_t end_ns = 0, ticks;
	struct signalfd_siginfo si;

	while (!end_ns || now_ns() < end_ns) {
		if (poll(fds, 4, end_ns ? 50 : -1) < 0)
			err(EXIT_FAILURE, "poll");
		/* Marks first: what is sent from here on is after the event. */
		while (read(fds[1].fd, &si, sizeof(si)) == sizeof(si)) {
			if (si.ssi_signo == SIGUSR1 && s->marks < MARKS)
				s->mark_ns[s->marks++] = now_ns();
			else if (si.ssi_signo != SIGUSR1 && !end_ns)
				end_ns = now_ns() + DRAIN_NS;
		}
		receive_all(&s->dir[0]);
		receive_all(&s->dir[1]);
		/* Ticks that were missed are not made up for: the stream stays one of single packets. */
		if (read(fds[0].fd, &ticks, sizeof(ticks)) == sizeof(ticks) && !end_ns) {
			send_one(s, &s->dir[0]);
			send_one(s, &s->dir[1]);
			if (s->dir[0].sent == s->limit)
				end_ns = now_ns() + DRAIN_NS;
		}
	}
}

static void usage(FILE *to, int status)
{
	fputs("Usage: udpstream [-i USEC] [-n COUNT] [-s SIZE] [-o FILE] NETNS ADDRESS NETNS ADDRESS PORT\n"
	      "Both ends send a numbered datagram every USEC (1000) until COUNT (60000) are sent or\n"
	      "SIGTERM comes, then a JSON report goes to FILE. \"up\" is from the first to the second.\n"
	      "SIGUSR1 marks an event: a gap names the mark it belongs to, counted from 1. SIZE of the\n"
	      "payload: 24 to 1400 (64). FILE is there, empty, when signals are listened to.\n", to);
	exit(status);
}

static void options(struct stream *s, const char **file, int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "i:n:s:o:h")) != -1) {
		switch (opt) {
		case 'i':
			s->interval_ns = netns_number("-i", optarg, 100, 1000000) * 1000;
			break;
		case 'n':
			s->limit = netns_number("-n", optarg, 1, 10000000);
			break;
		case 's':
			s->size = netns_number("-s", optarg, sizeof(struct packet), 1400);
			break;
		case 'o':
			*file = optarg;
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

/* Touched now: a page fault in the middle would show as a late packet. */
static struct record *records(uint64_t count)
{
	struct record *record = malloc(count * sizeof(*record));

	if (!record)
		err(EXIT_FAILURE, "memory");
	memset(record, 0, count * sizeof(*record));
	return record;
}

int main(int argc, char **argv)
{
	struct stream s = { .interval_ns = 1000000, .limit = 60000, .size = 64 };
	struct sockaddr_in addr[2];
	const char *file = NULL;
	int fd[2], signal_fd;
	FILE *out = stdout;

	options(&s, &file, argc, argv);
	argv += optind;
	for (int i = 0; i < 2; i++) {
		addr[i] = netns_address(argv[2 * i + 1], netns_number("port", argv[4], 1, 65535));
		fd[i] = netns_socket(argv[2 * i], SOCK_DGRAM, &addr[i]);
	}
	for (int i = 0; i < 2; i++)
		s.dir[i] = (struct direction){
			.name = i ? "down" : "up", .fd_out = fd[i], .fd_in = fd[!i],
			.to = addr[!i], .record = records(s.limit),
		};
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		warn("mlockall");
	signal_fd = signals();
	if (file)
		out = fopen(file, "w");
	if (!out)
		err(EXIT_FAILURE, "%s", file);
	run(&s, signal_fd);
	print_report(out, &s);
	return EXIT_SUCCESS;
}
