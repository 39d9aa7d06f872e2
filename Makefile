# SPDX-License-Identifier: GPL-2.0
# Jumping VPN. `make help` says what there is; everything that is built goes to build/.

VERSION := 0.1.0
PREFIX ?= /usr/local

# What a Debian 12 needs to build, to run the demo and to run the tests.
DEPS := build-essential pkg-config \
	libnl-3-dev libnl-genl-3-dev libnl-route-3-dev libsodium-dev libsystemd-dev libconfuse-dev \
	libjansson-dev libsqlite3-dev libcap-ng-dev libmnl-dev libsmartcols-dev \
	bc bison busybox-static ccache cpio flex kmod libelf-dev perl xz-utils \
	qemu-system-x86 qemu-system-common util-linux \
	iproute2 iputils-ping libcap2-bin nftables procps tcpdump wireguard-tools \
	python3 python3-cryptography python3-jsonschema python3-yaml shellcheck sparse

export JVPN_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/jvpn
# Nothing is built outside build/, byte code included.
export PYTHONDONTWRITEBYTECODE := 1

all: module daemon tools

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s%s\n' '$(1)' '$(2)')

# --- module: once per kernel, out of a tree of links, as kbuild leaves its objects beside the sources

running := $(shell uname -r)
stock := 6.1 6.12
kdir_of = $(JVPN_CACHE)/kernels/$(1)/kdir
KDIR ?= $(or $(wildcard /lib/modules/$(running)/build),$(wildcard $(foreach k,$(stock),$(call kdir_of,$(k)))))
release_of = $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' $(1)/include/generated/utsrelease.h 2>/dev/null)
module_sources := Kbuild $(wildcard kernel/*.[ch] uapi/*.h uapi/linux/*.h)
modules := $(foreach k,$(KDIR),build/$(call release_of,$(k))/jvpn.ko)

module: $(modules)
	$(if $(modules),,@echo "make: no headers of the running kernel ($(running)) and no cached kernels: install linux-headers-$(running), or run selftests/vm/fetch" >&2; exit 1)

# Without the kernel's own vmlinux there is no BTF to extend, and kbuild would say so every time.
no_btf = $(if $(wildcard $(kdir)/vmlinux),,CONFIG_DEBUG_INFO_BTF_MODULES=)

# The same once more, read by sparse and with the compiler's further warnings.
lint: $(modules:build/%=build/lint-%)
build/lint-%: checks = W=1 KCFLAGS=-Werror C=2 CF='-D__CHECK_ENDIAN__ -Wcontext -Wsparse-error'

define module_rule
$(if $(call release_of,$(1)),,$(error KDIR=$(1): no configured kernel tree or headers))
build/$(call release_of,$(1))/jvpn.ko build/lint-$(call release_of,$(1))/jvpn.ko: kdir := $(1)
endef
$(foreach k,$(KDIR),$(eval $(call module_rule,$(k))))

build/%/jvpn.ko: $(module_sources)
	@test -n "$(kdir)" || { echo "make: $@: no headers of that kernel: install linux-headers-$*" >&2; exit 1; }
	@mkdir -p $(@D)/kernel
	@ln -sfn ../../Kbuild $(@D)/Kbuild
	@ln -sfn ../../uapi $(@D)/uapi
	@ln -sf $(patsubst %,../../../%,$(wildcard kernel/*.[ch])) $(@D)/kernel/
	@find $(@D) -xtype l -delete
	$(call say,MODULE,$@)
	$(Q)flock $(@D)/.lock $(MAKE) $(if $(V),V=1,-s) --no-print-directory -C $(kdir) M=$(CURDIR)/$(@D) $(no_btf) $(checks) modules
	@touch $@

# --- daemon and tool

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
CFLAGS ?= -O2 -g
HARDENING := -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fPIE
HARDENING_LD := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
compile = $(CC) -std=gnu11 -D_GNU_SOURCE -DJVPN_VERSION='"$(VERSION)"' -Iuapi -MMD -MP \
	$(CFLAGS) $(HARDENING) $(WARNINGS) $(CPPFLAGS)
link = $(CC) $(CFLAGS) $(HARDENING_LD) $(LDFLAGS)

daemon_libs := libnl-3.0 libnl-genl-3.0 libnl-route-3.0 libsodium libsystemd libconfuse jansson sqlite3 libcap-ng
tools_libs := libmnl libsodium jansson smartcols

daemon_objects := $(patsubst %.c,build/obj/%.o,$(wildcard daemon/*.c))
# The tool speaks the daemon's vocabulary and checks knobs by the daemon's table.
tools_objects := $(patsubst %.c,build/obj/%.o,$(wildcard tools/jvpn-ip/*.c) daemon/names.c daemon/policy.c)
# Programs that tests are made with.
helpers := $(patsubst selftests/lib/%.c,build/selftests/%,$(wildcard selftests/lib/*.c))

daemon: build/jvpnd
tools: build/jvpn-ip

# pkg-config is asked by the recipes only: `make setup` must work before it is there.
build/jvpnd: libs = $(daemon_libs)
build/jvpnd: $(daemon_objects)
build/jvpn-ip: libs = $(tools_libs)
build/jvpn-ip: $(tools_objects)
build/jvpnd build/jvpn-ip:
	$(call say,LD,$@)
	$(Q)$(link) -o $@ $^ $$(pkg-config --libs $(libs))

build/obj/daemon/%.o: libs = $(daemon_libs)
build/obj/tools/%.o: libs = $(tools_libs)
build/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(compile) $$(pkg-config --cflags $(libs)) -c -o $@ $<

build/selftests/tcpsum: LDLIBS += -lsodium
build/selftests/%: selftests/lib/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(compile) $(HARDENING_LD) $(LDFLAGS) -o $@ $< $(LDLIBS)

-include $(daemon_objects:.o=.d) $(tools_objects:.o=.d) $(helpers:=.d)

# --- tests and demo

# As root installs what is missing, else says what to run; silent when nothing is missing.
missing = $(shell for p in $(DEPS); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done)
setup:
	$(eval packages := $(missing))
	@test -z "$(packages)" || test "$$(id -u)" = 0 || \
		{ echo "make: packages are missing, run: sudo apt-get install $(packages)" >&2; exit 1; }
	$(if $(packages),$(call say,INSTALL,$(packages)))
	$(if $(packages),$(Q)apt-get update -qq)
	$(if $(packages),$(Q)DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(packages) >/dev/null)

need-root:
	@test "$$(id -u)" = 0 || { echo "make: the virtual machines need root: sudo make $(MAKECMDGOALS)" >&2; exit 1; }

# The names of kernels are those of selftests/vm/run.
processors := $(shell nproc)
for_kernels = $(MAKE) -s -j$(processors) KDIR="$(foreach k,$(1),$(call kdir_of,$(k)))" module

KERNELS ?= $(stock)
check: check-build
	$(Q)selftests/run $(KERNELS:%=--kernel %) $(TESTS)

check-debug:
	$(Q)$(MAKE) -s check KERNELS=debug

# What the tests need: packages, kernels, everything built.
check-build: setup need-root
	$(Q)selftests/vm/fetch source $(filter-out debug,$(KERNELS))
	$(if $(filter debug,$(KERNELS)),$(Q)selftests/vm/debug-kernel >/dev/null)
	$(Q)$(call for_kernels,$(KERNELS))
	$(Q)$(MAKE) -s -j$(processors) daemon tools tests

# Everything the tests are made with, and the test programs.
tests: $(helpers)
	$(Q)$(MAKE) -s -C selftests all

DEMO_KERNEL ?= 6.12
demo: setup need-root
	$(Q)selftests/vm/fetch $(DEMO_KERNEL)
	$(Q)$(call for_kernels,$(DEMO_KERNEL))
	$(Q)$(MAKE) -s -j$(processors) daemon tools $(helpers)
	$(Q)selftests/vm/run --kernel $(DEMO_KERNEL) --icount --timeout 600 selftests/demo/demo.sh

# --- a real host

load: build/$(running)/jvpn.ko
	modprobe -a udp_tunnel ip6_udp_tunnel libchacha20poly1305 gcm
	insmod $<

unload:
	rmmod jvpn

install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/include/linux
	install -m 755 build/jvpnd build/jvpn-ip $(DESTDIR)$(PREFIX)/sbin/
	install -m 644 uapi/linux/jvpn.h $(DESTDIR)$(PREFIX)/include/linux/
	$(foreach f,$(extras),install -D -m 644 tools/$(f) $(DESTDIR)$(PREFIX)/$(call place_of,$(f))$(newline))
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|@SBINDIR@|$(PREFIX)/sbin|' tools/systemd/jvpnd.service.in >$(DESTDIR)$(PREFIX)/lib/systemd/system/jvpnd.service
	install -D -m 644 tools/systemd/jvpn.conf $(DESTDIR)$(PREFIX)/lib/modules-load.d/jvpn.conf
	$(foreach m,$(modules),install -D -m 644 $(m) $(DESTDIR)/lib/modules/$(call release_in,$(m))/updates/jvpn.ko$(newline))
	$(if $(DESTDIR),,$(foreach m,$(modules),depmod $(call release_in,$(m))$(newline)))

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/sbin/jvpnd $(DESTDIR)$(PREFIX)/sbin/jvpn-ip $(DESTDIR)$(PREFIX)/include/linux/jvpn.h
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/system/jvpnd.service $(DESTDIR)$(PREFIX)/lib/modules-load.d/jvpn.conf
	rm -f $(foreach f,$(extras),$(DESTDIR)$(PREFIX)/$(call place_of,$(f)))
	rm -f $(foreach m,$(modules),$(DESTDIR)/lib/modules/$(call release_in,$(m))/updates/jvpn.ko)
	$(if $(DESTDIR),,$(foreach m,$(modules),depmod $(call release_in,$(m))$(newline)))

# Manuals and completions, and where they go.
extras := $(patsubst tools/%,%,$(wildcard tools/man/*.[58] tools/completions/*))
place_of = $(if $(filter man/%,$(1)),share/man/man$(subst .,,$(suffix $(1))),share/bash-completion/completions)/$(notdir $(1))
release_in = $(patsubst build/%/jvpn.ko,%,$(1))
define newline


endef

clean:
	rm -rf build

help:
	@echo 'make [all]         module, daemon and tools'
	@echo 'make module        build/<release>/jvpn.ko for the running kernel, else for the cached stock kernels; KDIR=DIR… names others'
	@echo 'make daemon        build/jvpnd'
	@echo 'make tools         build/jvpn-ip'
	@echo 'make demo          a tunnel that survives the loss of its uplink, in a virtual machine'
	@echo 'make check         all tests, on both stock kernels; KERNELS="6.1 6.12" TESTS="unit/noise netns/…" choose'
	@echo 'make check-debug   the same on a kernel with KASAN, lockdep and kmemleak'
	@echo 'make setup         install the Debian packages that building, demo and tests need'
	@echo 'make load, unload  the module, on this machine'
	@echo 'make install       module, programs, manual pages and header; PREFIX=$(PREFIX) DESTDIR=$(DESTDIR)'
	@echo 'make uninstall     take them away again'
	@echo 'make clean         remove build/; what was downloaded stays in $(JVPN_CACHE)'
	@echo 'V=1                show every command'

.PHONY: all module lint daemon tools setup need-root check check-debug check-build tests demo load unload install uninstall clean help
.DELETE_ON_ERROR:
