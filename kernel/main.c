// SPDX-License-Identifier: GPL-2.0
/*
 * Jumping VPN: order of start and end, nothing else.
 */

#include <linux/module.h>
#include <net/genetlink.h>
#include <net/rtnetlink.h>

#include "../uapi/linux/jvpn.h"
#include "aead.h"
#include "device.h"
#include "netlink.h"

static int __init jvpn_module_init(void)
{
	int err;

	err = jvpn_aead_init();
	if (err)
		return err;
	err = jvpn_device_init();
	if (err)
		goto err_aead_exit;
	err = jvpn_netlink_init();
	if (err)
		goto err_device_exit;
	return 0;

err_device_exit:
	jvpn_device_exit();
err_aead_exit:
	jvpn_aead_exit();
	return err;
}

static void __exit jvpn_module_exit(void)
{
	/*
	 * Devices first: with the last of them go the sockets, sessions and timers
	 * that call into this module. A request that is running meanwhile finds no
	 * device; the family goes when it has returned.
	 */
	jvpn_device_exit();
	jvpn_netlink_exit();
	/* Callbacks that free epochs, bindings and sessions are code of this module. */
	rcu_barrier();
	jvpn_aead_exit();
}

module_init(jvpn_module_init);
module_exit(jvpn_module_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Jumping VPN: sessions that outlive their transports");
MODULE_AUTHOR("Jumping VPN maintainers");
MODULE_VERSION("0.1");
MODULE_ALIAS_RTNL_LINK("jvpn");
MODULE_ALIAS_GENL_FAMILY(JVPN_GENL_NAME);
MODULE_SOFTDEP("pre: udp_tunnel ip6_udp_tunnel libchacha20poly1305 gcm");
