// SPDX-License-Identifier: GPL-2.0
/*
 * One message of one client per turn of the loop, and none while its last reply is
 * not on its way: what a client can make us hold is one message and one reply.
 */
#include <errno.h>
#include <grp.h>
#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "log.h"
#include "loop.h"
#include "methods.h"

struct client {
	struct client *next;
	struct jv_control *control;
	struct jv_call call;		/* what methods.h knows of us */
	int fd;
	struct jv_io io;
	struct jv_timer idle;
	struct jv_deferred more;	/* another message is in the buffer */
	bool silent;			/* oneway: no reply is wanted */
	bool ended;			/* it will send no more, but may still read */
	bool answering;			/* inside jv_method_call() */
	bool dead;			/* to be freed when that returns */
	uint64_t active_ms;
	char *out;			/* what is left of the reply, or NULL */
	size_t out_len, out_at;
	size_t in_len;
	char in[JV_CONTROL_REQUEST_MAX];
};

struct jv_control {
	struct jv_env *env;
	struct jv_shard *shard;
	int fd;
	struct jv_io io;
	gid_t group;			/* -1: root only */
	struct client *clients;
	unsigned int count;
	uint64_t started_ms;
	struct sockaddr_un addr;
};

/* --- the end of a client --- */

static void client_free(struct client *client)
{
	struct client **at = &client->control->clients;

	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	client->control->count--;
	if (client->out)
		sodium_memzero(client->out, client->out_len);
	free(client->out);
	sodium_memzero(client->in, sizeof(client->in));
	free(client);
}

static void client_close(struct client *client)
{
	if (client->dead)
		return;
	jv_method_forget(&client->call);
	jv_io_del(&client->io);
	jv_timer_del(&client->idle);
	jv_deferred_del(&client->more);
	close(client->fd);
	client->dead = true;
	if (!client->answering)
		client_free(client);
}

static void on_idle(void *arg)
{
	client_close(arg);
}

/* --- writing --- */

static bool has_message(const struct client *client)
{
	return memchr(client->in, '\0', client->in_len);
}

/* Only what waits for the client itself is limited in time. */
static void watch(struct client *client)
{
	bool busy = client->out || client->call.pending;
	bool room = client->in_len < sizeof(client->in);
	bool stalled = client->out || (client->in_len && !has_message(client));
	uint32_t events = 0;

	if (client->ended && !busy && !has_message(client)) {
		client_close(client);
		return;
	}
	if (client->out)
		events |= EPOLLOUT;
	if (!client->out && room && !client->ended)
		events |= EPOLLIN;
	jv_io_events(&client->io, events);
	jv_timer_set(&client->idle, stalled ? client->active_ms + JV_CONTROL_IDLE_MS : JV_NEVER);
	if (!busy && has_message(client))
		jv_deferred_kick(&client->more);
}

/* -1: the client is gone. */
static int flush_out(struct client *client)
{
	while (client->out_at < client->out_len) {
		ssize_t n = send(client->fd, client->out + client->out_at,
				 client->out_len - client->out_at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return -1;
		client->out_at += n;
		client->active_ms = jv_now_ms();
	}
	free(client->out);
	client->out = NULL;
	return 0;
}

static void finish(struct jv_call *call, json_t *reply)
{
	struct client *client = (struct client *)((char *)call - offsetof(struct client, call));
	bool silent = client->silent;

	client->silent = false;
	if (!silent && !client->dead) {
		client->out = json_dumps(reply, JSON_COMPACT);
		client->out_len = client->out ? strlen(client->out) + 1 : 0;
		client->out_at = 0;
	}
	json_decref(reply);
	if (client->dead)
		return;
	if (!silent && (!client->out || client->out_len > JV_CONTROL_REPLY_MAX ||
			flush_out(client)))
		client_close(client);
	else
		watch(client);
}

/* --- reading --- */

static void answer(struct client *client, const char *text, size_t len)
{
	json_t *request = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);

	client->answering = true;
	if (!json_is_object(request)) {
		/* What does not even parse cannot be trusted to have ended where it says. */
		client_close(client);
	} else {
		client->silent = json_is_true(json_object_get(request, "oneway"));
		jv_method_call(&client->call, request);
	}
	json_decref(request);
	client->answering = false;
	if (client->dead)
		client_free(client);
}

static void on_more(void *arg)
{
	struct client *client = arg;
	char *end = memchr(client->in, '\0', client->in_len);
	char *message;
	size_t len;

	if (!end || client->out || client->call.pending)
		return;
	len = end - client->in;
	message = malloc(len + 1);
	if (!message) {
		client_close(client);
		return;
	}
	memcpy(message, client->in, len + 1);
	client->in_len -= len + 1;
	memmove(client->in, end + 1, client->in_len);
	sodium_memzero(client->in + client->in_len, len + 1);
	client->active_ms = jv_now_ms();
	answer(client, message, len);
	sodium_memzero(message, len + 1);
	free(message);
}

/* -1: enough of this client. */
static int take_input(struct client *client)
{
	ssize_t n = recv(client->fd, client->in + client->in_len,
			 sizeof(client->in) - client->in_len, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	client->ended = !n;
	/* The clock runs from the first byte of a message, not from the last. */
	if (!client->in_len)
		client->active_ms = jv_now_ms();
	client->in_len += n;
	if (client->in_len < sizeof(client->in) || has_message(client))
		return 0;
	jv_info("a client of the control socket sent more than %d bytes at once",
		JV_CONTROL_REQUEST_MAX);
	return -1;
}

static void on_client(void *arg, uint32_t events)
{
	struct client *client = arg;

	if (events & EPOLLOUT && client->out && flush_out(client)) {
		client_close(client);
		return;
	}
	if (events & (EPOLLHUP | EPOLLERR) || (events & EPOLLIN && take_input(client)))
		client_close(client);
	else
		watch(client);
}

/* --- accepting --- */

static bool in_group(int fd, gid_t group)
{
	gid_t groups[256];
	socklen_t len = sizeof(groups);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len))
		return false;
	for (size_t i = 0; i < len / sizeof(groups[0]); i++)
		if (groups[i] == group)
			return true;
	return false;
}

static bool allowed(const struct jv_control *control, int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return false;
	if (!cred.uid || control->group == (gid_t)-1)
		return !cred.uid;
	return cred.gid == control->group || in_group(fd, control->group);
}

static void refuse(int fd)
{
	json_t *reply = jv_method_error("PermissionDenied", NULL, NULL);
	char *text = json_dumps(reply, JSON_COMPACT);

	if (text)
		send(fd, text, strlen(text) + 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	free(text);
	json_decref(reply);
	close(fd);
}

/* Make room by closing who was idle the longest. False: all are busy. */
static bool make_room(struct jv_control *control)
{
	struct client *oldest = NULL;

	for (struct client *c = control->clients; c; c = c->next)
		if (!c->out && !c->call.pending && !c->in_len &&
		    (!oldest || c->active_ms < oldest->active_ms))
			oldest = c;
	if (oldest)
		client_close(oldest);
	return oldest;
}

static int client_new(struct jv_control *control, int fd)
{
	struct client *client = calloc(1, sizeof(*client));
	struct jv_loop *loop = control->env->loop;

	if (!client)
		return -1;
	client->control = control;
	client->fd = fd;
	client->active_ms = jv_now_ms();
	client->call = (struct jv_call){
		.env = control->env, .shard = control->shard,
		.started_ms = control->started_ms, .finish = finish,
	};
	if (jv_io_add(loop, &client->io, fd, EPOLLIN, JV_PRIO_CONTROL, on_client, client) ||
	    jv_timer_add(loop, &client->idle, JV_PRIO_CONTROL, on_idle, client) ||
	    jv_deferred_add(loop, &client->more, JV_PRIO_CONTROL, on_more, client)) {
		jv_io_del(&client->io);
		jv_timer_del(&client->idle);
		free(client);
		return -1;
	}
	client->next = control->clients;
	control->clients = client;
	control->count++;
	return 0;
}

static void on_connect(void *arg, uint32_t events)
{
	struct jv_control *control = arg;
	int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	if (!allowed(control, fd))
		refuse(fd);
	else if ((control->count >= JV_CONTROL_CLIENTS && !make_room(control)) ||
		 client_new(control, fd))
		close(fd);
}

/* --- opening --- */

static int make_directory(const char *path, struct jv_error *err)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash || slash == dir)
		return 0;
	*slash = '\0';
	if (mkdir(dir, 0755) && errno != EEXIST)
		return jv_error_set(err, errno, "cannot make the directory %s: %s", dir,
				    strerror(errno));
	return 0;
}

/* True if a daemon answers there; a socket without one may be replaced. */
static bool alive(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool answers = fd >= 0 && (!connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) ||
				   errno == EAGAIN);

	if (fd >= 0)
		close(fd);
	return answers;
}

static int find_group(struct jv_control *control, const char *group, struct jv_error *err)
{
	struct group *entry;

	control->group = -1;
	if (!group)
		return 0;
	entry = getgrnam(group);
	if (!entry)
		return jv_error_set(err, ENOENT, "control-group: there is no group \"%s\"", group);
	control->group = entry->gr_gid;
	return 0;
}

static int listen_on(struct jv_control *control, const char *path, struct jv_error *err)
{
	struct stat st;

	control->addr.sun_family = AF_UNIX;
	if (strlen(path) >= sizeof(control->addr.sun_path))
		return jv_error_set(err, ENAMETOOLONG, "control socket \"%s\": a path of at most "
				    "%zu characters is allowed", path,
				    sizeof(control->addr.sun_path) - 1);
	strcpy(control->addr.sun_path, path);
	if (!lstat(path, &st)) {
		if (!S_ISSOCK(st.st_mode))
			return jv_error_set(err, EEXIST, "%s is there and is not a socket", path);
		if (alive(&control->addr))
			return jv_error_set(err, EBUSY, "another jvpnd answers at %s: stop it, or "
					    "give this one its own --control-socket", path);
		unlink(path);
	}
	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control->fd < 0 ||
	    bind(control->fd, (struct sockaddr *)&control->addr, sizeof(control->addr)) ||
	    chown(path, -1, control->group) || chmod(path, 0660) || listen(control->fd, 16))
		return jv_error_set(err, errno, "cannot listen on %s: %s", path, strerror(errno));
	return 0;
}

struct jv_control *jv_control_open(const char *path, const char *group, struct jv_env *env,
				   struct jv_shard *shard, struct jv_error *err)
{
	struct jv_control *control = calloc(1, sizeof(*control));
	mode_t mask;
	int ret;

	if (!control) {
		jv_error_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	jv_methods_setup();
	control->env = env;
	control->shard = shard;
	control->fd = -1;
	control->started_ms = jv_now_ms();
	ret = find_group(control, group, err);
	if (!ret)
		ret = make_directory(path, err);
	if (!ret) {
		mask = umask(0177);	/* nobody gets in before chown and chmod */
		ret = listen_on(control, path, err);
		umask(mask);
	}
	if (!ret && jv_io_add(env->loop, &control->io, control->fd, EPOLLIN, JV_PRIO_CONTROL,
			      on_connect, control))
		ret = jv_error_set(err, EIO, "cannot watch the control socket");
	if (!ret)
		return control;
	if (control->fd >= 0)
		close(control->fd);
	free(control);
	return NULL;
}

void jv_control_close(struct jv_control *control)
{
	if (!control)
		return;
	while (control->clients)
		client_close(control->clients);
	jv_io_del(&control->io);
	close(control->fd);
	unlink(control->addr.sun_path);
	free(control);
}
