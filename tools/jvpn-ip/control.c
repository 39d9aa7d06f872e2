// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "control.h"

#define INTERFACE "io.jvpn.Control"

enum {
	FACTS_MS = 200,			/* what a read is ready to wait, unless it was told */
	RETRY_MS = 20,
	REPLY_MAX = 64 << 20,
};

/* One connection, at most one call under way on it. */
static int connection = -1;

/* What went wrong with a call before the daemon had a say. */
struct trouble {
	enum { NOT_RUNNING, NOT_ALLOWED, LATE, BROKEN } kind;
	int error;
};

static void wiping_free(void *memory)
{
	if (memory)
		sodium_memzero(memory, malloc_usable_size(memory));
	free(memory);
}

void control_init(void)
{
	json_set_alloc_funcs(malloc, wiping_free);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void disconnect(void)
{
	if (connection >= 0)
		close(connection);
	connection = -1;
}

static int broken(struct trouble *trouble, int error)
{
	trouble->kind = BROKEN;
	trouble->error = error;
	disconnect();
	return -1;
}

/* The socket is nonblocking: neither a stopped daemon nor a full backlog holds us. */
static int try_reach(struct trouble *trouble)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (connection >= 0)
		return 0;
	if (strlen(opt.socket) >= sizeof(address.sun_path))
		return broken(trouble, ENAMETOOLONG);
	strcpy(address.sun_path, opt.socket);
	connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (connection < 0)
		return broken(trouble, errno);
	if (!connect(connection, (struct sockaddr *)&address, sizeof(address)))
		return 0;
	broken(trouble, errno);
	if (trouble->error == ENOENT || trouble->error == ECONNREFUSED)
		trouble->kind = NOT_RUNNING;
	if (trouble->error == EACCES || trouble->error == EPERM)
		trouble->kind = NOT_ALLOWED;
	if (trouble->error == EAGAIN)
		trouble->kind = LATE;
	return -1;
}

static int reach(int64_t deadline, bool patient, struct trouble *trouble)
{
	while (try_reach(trouble)) {
		if (!patient || trouble->kind != NOT_RUNNING || now_ms() >= deadline)
			return -1;
		poll(NULL, 0, RETRY_MS);
	}
	return 0;
}

static int await(short events, int64_t deadline, struct trouble *trouble)
{
	struct pollfd poller = { .fd = connection, .events = events };
	int64_t left;
	int ready;

	do {
		left = deadline - now_ms();
		ready = poll(&poller, 1, left > 0 ? left : 0);
	} while (ready < 0 && errno == EINTR);
	if (ready > 0)
		return 0;
	broken(trouble, errno);
	if (!ready)
		trouble->kind = LATE;
	return -1;
}

/* @size counts the NUL that ends a message. */
static int send_all(const char *text, size_t size, int64_t deadline, struct trouble *trouble)
{
	while (size) {
		ssize_t sent = send(connection, text, size, MSG_NOSIGNAL);

		if (sent < 0 && errno != EAGAIN && errno != EINTR)
			return broken(trouble, errno);
		if (sent < 0 && await(POLLOUT, deadline, trouble))
			return -1;
		if (sent > 0) {
			text += sent;
			size -= sent;
		}
	}
	return 0;
}

/* Returns the message, which the caller frees, or NULL. */
static char *receive_all(int64_t deadline, struct trouble *trouble)
{
	size_t size = 0, room = 0;
	char *text = NULL, *larger;
	ssize_t got;

	for (;;) {
		if (room - size < 4096) {
			room = 2 * room + 65536;
			larger = room > REPLY_MAX ? NULL : realloc(text, room);
			if (!larger) {
				broken(trouble, EMSGSIZE);
				break;
			}
			text = larger;
		}
		got = recv(connection, text + size, room - size, 0);
		if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
			if (await(POLLIN, deadline, trouble))
				break;
			continue;
		}
		if (got <= 0) {
			broken(trouble, got ? errno : ECONNRESET);
			break;
		}
		size += got;
		if (!text[size - 1])
			return text;
	}
	free(text);
	return NULL;
}

/* Send the request, which may hold a key, and return the answer as an object, or NULL. */
static json_t *exchange(const char *method, json_t *parameters, unsigned int wait_ms,
			bool patient, struct trouble *trouble)
{
	int64_t deadline = now_ms() + wait_ms;
	json_t *request, *answer;
	char *text;
	int ret;

	if (reach(deadline, patient, trouble)) {
		json_decref(parameters);
		return NULL;
	}
	request = json_pack("{s:s+, s:o}", "method", INTERFACE ".", method, "parameters",
			    parameters ? parameters : json_object());
	text = json_dumps(request, JSON_COMPACT);
	ret = text ? send_all(text, strlen(text) + 1, deadline, trouble) : broken(trouble, ENOMEM);
	wiping_free(text);
	json_decref(request);
	text = ret ? NULL : receive_all(deadline, trouble);
	if (!text)
		return NULL;
	answer = json_loads(text, 0, NULL);
	free(text);
	if (!json_is_object(answer)) {
		json_decref(answer);
		broken(trouble, EBADMSG);
		return NULL;
	}
	return answer;
}

static int tell_trouble(const struct trouble *trouble)
{
	switch (trouble->kind) {
	case NOT_RUNNING:
		return fail(EXIT_UNREACHABLE, "jvpnd is not running (nothing answers at %s): "
			    "start it, or say where it is with -S.",
			    opt.socket);
	case NOT_ALLOWED:
		return fail(EXIT_UNREACHABLE, "jvpnd's socket %s is not open to this user: "
			    "run it as root or as a member of the control group.", opt.socket);
	case LATE:
		return fail(EXIT_UNREACHABLE, "jvpnd has not answered within %u s at %s: "
			    "see its log, or wait longer with -w.", opt.wait_ms / 1000, opt.socket);
	default:
		return fail(EXIT_UNREACHABLE, "jvpnd gave no usable answer at %s: %s.",
			    opt.socket, strerror(trouble->error));
	}
}

static int refuse_kernel_only(void)
{
	return fail(EXIT_SYNTAX, "argument \"-K\" is wrong: this command is jvpnd's to carry out.");
}

int control_open(void)
{
	struct trouble trouble = { 0 };

	if (opt.kernel_only)
		return refuse_kernel_only();
	return reach(now_ms() + opt.wait_ms, opt.patient, &trouble) ? tell_trouble(&trouble) : EXIT_OK;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* The daemon's sentence, without the full stop that ours ends with. */
static int tell(enum exit_code code, const char *begin, const json_t *parameters)
{
	const char *message = text_of(parameters, "message");
	int length = strlen(message);

	if (length && message[length - 1] == '.')
		length--;
	return fail(code, "%s%.*s.", begin, length, message);
}

/*
 * What the parameter was is quoted as it was given, unless it is a key. The
 * daemon names it as the interface does; people wrote the word with a dash.
 */
static int tell_parameter(const json_t *parameters, const json_t *given)
{
	const char *name = text_of(parameters, "parameter");
	const json_t *value = json_object_get(given, name);
	char begin[256];

	if (!*name)
		return tell(EXIT_SYNTAX, "jvpn: ", parameters);
	if (json_is_string(value) && !strstr(name, "private") && !strstr(name, "preshared"))
		snprintf(begin, sizeof(begin), "argument \"%s\" is wrong: ",
			 json_string_value(value));
	else if (json_is_integer(value))
		snprintf(begin, sizeof(begin), "argument \"%lld\" is wrong: ",
			 (long long)json_integer_value(value));
	else
		snprintf(begin, sizeof(begin), "argument \"%s\" is wrong: ", name);
	return tell(EXIT_SYNTAX, begin, parameters);
}

static int tell_error(const char *error, const json_t *parameters, const json_t *given)
{
	static const struct {
		const char *error;
		enum exit_code code;
	} codes[] = {
		{ INTERFACE ".NotFound", EXIT_NOT_FOUND },
		{ INTERFACE ".VersionConflict", EXIT_CONFLICT },
		{ INTERFACE ".PolicyRefused", EXIT_REFUSED },
		{ INTERFACE ".ConfigRejected", EXIT_ERROR },
		{ INTERFACE ".SystemError", EXIT_ERROR },
	};

	for (size_t i = 0; i < COUNT(codes); i++)
		if (!strcmp(error, codes[i].error))
			return tell(codes[i].code, "jvpn: ", parameters);
	if (!strcmp(error, INTERFACE ".InvalidParameter"))
		return tell_parameter(parameters, given);
	return fail(EXIT_ERROR, "jvpn: jvpnd answers %s: is it of the same release?", error);
}

/* What is done but not whole is said beside the answer. */
static void tell_note(const json_t *parameters)
{
	const char *text = text_of(parameters, "note");

	if (*text)
		note(text);
}

int control_call(const char *method, json_t *parameters, json_t **reply)
{
	struct trouble trouble = { 0 };
	json_t *answer, *given;
	const char *error;
	int ret = EXIT_OK;

	if (opt.kernel_only) {
		json_decref(parameters);
		return refuse_kernel_only();
	}
	given = json_incref(parameters);
	answer = exchange(method, parameters, opt.wait_ms, opt.patient, &trouble);
	if (!answer) {
		json_decref(given);
		return tell_trouble(&trouble);
	}
	error = json_string_value(json_object_get(answer, "error"));
	if (error)
		ret = tell_error(error, json_object_get(answer, "parameters"), given);
	else
		tell_note(json_object_get(answer, "parameters"));
	if (!error && reply)
		*reply = json_incref(json_object_get(answer, "parameters"));
	json_decref(given);
	json_decref(answer);
	return ret;
}

json_t *control_facts(const char *method, json_t *parameters)
{
	unsigned int wait_ms = opt.patient ? opt.wait_ms : FACTS_MS;
	struct trouble trouble = { 0 };
	json_t *answer, *facts;

	if (opt.kernel_only) {
		json_decref(parameters);
		return NULL;
	}
	answer = exchange(method, parameters, wait_ms, false, &trouble);
	facts = json_object_get(answer, "error") ? NULL : json_object_get(answer, "parameters");
	json_incref(facts);
	json_decref(answer);
	return facts;
}
