// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>

#include "refusals.h"
#include "session.h"

int jv_sessions_init(struct jv_sessions *all, struct jv_env *env)
{
	*all = (struct jv_sessions){ .env = env };
	if (jv_table_init(&all->by_sid, JVPN_SID_LEN) ||
	    jv_table_init(&all->by_cid, JVPN_CID_LEN) ||
	    jv_table_init(&all->by_init, 32)) {
		jv_sessions_free(all);
		return -1;
	}
	return 0;
}

void jv_sessions_free(struct jv_sessions *all)
{
	while (all->first)
		jv_session_free(all->first);
	jv_table_free(&all->by_sid);
	jv_table_free(&all->by_cid);
	jv_table_free(&all->by_init);
}

struct jv_session *jv_sessions_by_sid(const struct jv_sessions *all, const uint8_t sid[16])
{
	struct jv_entry *e = jv_table_find(&all->by_sid, sid);

	return e ? jv_container(e, struct jv_session, by_sid) : NULL;
}

struct jv_epoch *jv_sessions_by_cid(const struct jv_sessions *all, const uint8_t cid[8])
{
	struct jv_entry *e = jv_table_find(&all->by_cid, cid);

	return e ? jv_container(e, struct jv_epoch, by_cid) : NULL;
}

struct jv_session *jv_sessions_by_init(const struct jv_sessions *all, const uint8_t e[32])
{
	struct jv_entry *entry = jv_table_find(&all->by_init, e);

	return entry ? jv_container(entry, struct jv_session, by_init) : NULL;
}

void jv_sessions_refuse(struct jv_sessions *all, enum jv_reason reason,
			const struct jv_session *session, const struct jv_link *link,
			const union jv_addr *from)
{
	enum jv_audit_event event = reason == JV_REASON_RATE_LIMITED ? JV_AUDIT_RATE_LIMIT_EVENT
								     : JV_AUDIT_SECURITY_EVENT;
	struct jv_audit_record record = { .event = event };

	all->env->refusals[reason]++;
	jv_refusals_note(all->env->refused, session && session->peer ? session->peer->name : NULL,
			 from, reason, JV_DETAIL_NONE, jv_now_ms());
	if (session)
		jv_session_record(session, &record, event);
	record.reason = reason;
	if (link)
		snprintf(record.link, sizeof(record.link), "%s", link->name);
	if (from)
		record.new_remote = *from;
	jv_audit_push_sampled(all->env->audit, &record);
}
