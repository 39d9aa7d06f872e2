// SPDX-License-Identifier: GPL-2.0
#include <string.h>

#include "selector.h"

int selector_init(struct selector *selector, uint32_t given)
{
	selector->given = given & SELECT_ALL;
	return device_index(selector->dev, &selector->ifindex);
}

static bool fits_inner(const struct selector *selector, const struct session *session)
{
	for (size_t i = 0; i < session->prefixes; i++)
		if (prefix_holds(&session->prefix[i], &selector->inner))
			return true;
	return false;
}

static bool fits_outer(const struct selector *selector, const struct session *session)
{
	const struct endpoint *remote = &session->binding.remote;

	return HAS(&session->binding, JVPN_BINDING_A_REMOTE) &&
	       address_equal(&remote->address, &selector->outer.address) &&
	       (!selector->outer.port || selector->outer.port == remote->port);
}

static bool fits_via(const struct selector *selector, const struct session *session,
		     const struct paths *paths, const char *transport)
{
	char device[IF_NAMESIZE];

	if (!HAS(&session->binding, JVPN_BINDING_A_PATH))
		return false;
	if (transport && !strcmp(selector->via, transport))
		return true;
	return !strcmp(selector->via, paths_device(paths, session->ifindex,
						   session->binding.path, device));
}

bool selector_fits(const struct selector *selector, const struct session *session,
		   const struct paths *paths, const char *transport)
{
	uint32_t given = selector->given;

	return (!(given & SELECT_DEV) || selector->ifindex == session->ifindex) &&
	       (!(given & SELECT_ID) ||
		!memcmp(selector->id.bytes, session->sid, selector->id.digits / 2)) &&
	       (!(given & SELECT_PEER) || !strcmp(selector->peer, session->label)) &&
	       (!(given & SELECT_INNER) || fits_inner(selector, session)) &&
	       (!(given & SELECT_OUTER) || fits_outer(selector, session)) &&
	       (!(given & SELECT_STATE) || selector->state == session->state) &&
	       (!(given & SELECT_VIA) || fits_via(selector, session, paths, transport)) &&
	       (!(given & SELECT_OLDER) || session->age_ms > selector->older_ms);
}
