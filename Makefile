# SPDX-License-Identifier: GPL-2.0-only
#
# vmq: `make help` lists targets and variables. What is built goes into $(BUILD):
#
#   $(BUILD)/vmq-load $(BUILD)/vmqctl   the programs
#   $(BUILD)/NAME.skel.h                skeleton of NAME.bpf.c in bpf/ or tests/prog/
#   $(BUILD)/unit/NAME                  one test program per tests/unit/NAME.c
#   $(BUILD)/prog/NAME                  one test tool per tests/prog/NAME.c
#
# All of user/ but the two programs is one static archive that programs and tests
# link against. A new file in a known directory needs no change here.

VERSION	 ?= 0.1.0
PREFIX	 ?= /usr/local
SBINDIR	 ?= $(PREFIX)/sbin
MANDIR	 ?= $(PREFIX)/share/man
INCDIR	 ?= $(PREFIX)/include
LIBDIR	 ?= $(PREFIX)/lib
COMPDIR	 ?= $(PREFIX)/share/bash-completion/completions
UNITDIR	 ?= $(PREFIX)/lib/systemd/system
DESTDIR	 ?=

CC	   := $(if $(filter default,$(origin CC)),gcc,$(CC))
CLANG	   ?= clang
BPFTOOL	   ?= $(firstword $(shell command -v bpftool /usr/sbin/bpftool /sbin/bpftool) bpftool)
PKG_CONFIG ?= pkg-config
AR	   ?= ar
OBJCOPY	   ?= objcopy
INSTALL	   ?= install
CPPCHECK   ?= cppcheck
CLANG_TIDY ?= clang-tidy
SHELLCHECK ?= shellcheck

# SANITIZE=1 builds beside the normal build, so that both can be kept.
BUILD	   ?= $(if $(filter 1,$(SANITIZE)),build-asan,build)
SAN_FLAGS  := $(if $(filter 1,$(SANITIZE)),-fsanitize=address -fsanitize=undefined \
		-fno-sanitize-recover=all -fno-omit-frame-pointer)

PACKAGES   := libbpf libxdp jansson smartcols libmnl libcap-ng
ifeq ($(shell $(PKG_CONFIG) --exists libsystemd && echo yes),yes)
PACKAGES   += libsystemd
DEFINES	   := -DHAVE_SYSTEMD
endif

# An empty value for _GNU_SOURCE, so that a file may define it once more.
CPPFLAGS   += -D_GNU_SOURCE= -DVMQ_VERSION='"$(VERSION)"' $(DEFINES) -Iinclude -Iuser -I$(BUILD)
CPPFLAGS   += $(shell $(PKG_CONFIG) --cflags $(PACKAGES) 2>/dev/null)
CFLAGS	   ?= -O2 -g
WARNINGS   := -Wall -Wextra $(if $(filter 1,$(WERROR)),-Werror)
ALL_CFLAGS := -std=gnu11 $(WARNINGS) $(SAN_FLAGS) -pthread $(CFLAGS)
LDLIBS	   := $(shell $(PKG_CONFIG) --libs $(PACKAGES) 2>/dev/null) $(LDLIBS)

# `-target bpf` loses the search path of the host's <asm/types.h>: give clang
# its own system directories back, after all others.
BPF_SYS	   := $(shell $(CLANG) -v -E - </dev/null 2>&1 | \
		sed -n '/<...> search starts here:/,/End of search list/{ s| \(/.*\)|-idirafter \1|p }')
BPF_FLAGS  := -g -O2 -target bpf -mcpu=v3 -std=gnu11 $(WARNINGS) -Iinclude -Ibpf $(BPF_SYS)

# ---- what there is to build -------------------------------------------------

rwildcard   = $(foreach d,$(wildcard $(1)*),$(call rwildcard,$(d)/,$(2)) $(filter $(subst *,%,$(2)),$(d)))

LOAD_SRC   := $(sort $(wildcard user/vmq-load/*.c))
CTL_SRC	   := $(sort $(wildcard user/vmqctl/*.c))
LIB_SRC	   := $(sort $(filter-out $(LOAD_SRC) $(CTL_SRC),$(call rwildcard,user/,*.c)))
BPF_SRC	   := $(sort $(wildcard bpf/*.bpf.c tests/prog/*.bpf.c))
UNIT_SRC   := $(sort $(wildcard tests/unit/*.c))
PROG_SRC   := $(sort $(filter-out %.bpf.c,$(wildcard tests/prog/*.c)))
ALL_SRC	   := $(LOAD_SRC) $(CTL_SRC) $(LIB_SRC) $(UNIT_SRC) $(PROG_SRC)
SCRIPTS	   := $(shell find scripts .ci -maxdepth 1 -type f)
BASH_SRC   := $(wildcard tests/lib/*.bash tests/*.bats tests/qemu/*.sh tests/qemu/*.bash \
		scripts/bench.d/*.bash scripts/bench.d/lib/*.bash)

ARCHIVE	   := $(BUILD)/vmq.a
SKELETONS  := $(patsubst %.bpf.c,$(BUILD)/%.skel.h,$(notdir $(BPF_SRC)))
PROGRAMS   := $(if $(LOAD_SRC),$(BUILD)/vmq-load) $(if $(CTL_SRC),$(BUILD)/vmqctl)
UNITS	   := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/unit/%)
PROGS	   := $(PROG_SRC:tests/prog/%.c=$(BUILD)/prog/%)
objects	    = $(1:%.c=$(BUILD)/obj/%.o)

# ---- quiet output: `make V=1` shows the commands ----------------------------

ifeq ($(V),1)
Q   :=
say :=
else
Q   := @
say  = @printf '  %-8s %s\n' '$(1)' '$(patsubst $(BUILD)/%,%,$(2))';
MAKEFLAGS += --no-print-directory
endif

# ---- rules ------------------------------------------------------------------

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all unit check lint install uninstall clean help

all: $(PROGRAMS) $(BUILD)/libvmq.a

unit: $(UNITS) $(PROGS)

vpath %.bpf.c bpf tests/prog

$(BUILD)/%.bpf.o: %.bpf.c
	$(call say,CLANG,$@)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_FLAGS) -MMD -MP -MT $@ -MF $(@:.o=.d) -c $< -o $(@:.o=.tmp.o)
	$(Q)$(BPFTOOL) gen object $@ $(@:.o=.tmp.o) && rm -f $(@:.o=.tmp.o)

# A C header with the object in it, so that the programs are single files. NOLINT: it is
# bpftool's text, and version 7.1 leaks when calloc() fails.
$(BUILD)/%.skel.h: $(BUILD)/%.bpf.o
	$(call say,SKELETON,$@)
	$(Q){ echo '/* NOLINTBEGIN */'; $(BPFTOOL) gen skeleton $< name $*_bpf; } >$@
	$(Q)echo '/* NOLINTEND */' >>$@

# Which object includes which skeleton is known only after the first build.
$(BUILD)/obj/%.o: %.c | $(SKELETONS)
	$(call say,CC,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(ARCHIVE): $(call objects,$(LIB_SRC))
	$(call say,AR,$@)
	@mkdir -p $(@D)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/vmq-load: $(call objects,$(LOAD_SRC))
$(BUILD)/vmqctl: $(call objects,$(CTL_SRC))
$(UNITS) $(PROGS): $(BUILD)/%: $(BUILD)/obj/tests/%.o
$(PROGRAMS) $(UNITS) $(PROGS): $(ARCHIVE)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(ARCHIVE) $(LDLIBS)

# For programs (cc ... -lvmq -ljansson): one object, of which only vmq_... is seen.
$(BUILD)/libvmq.a: $(call objects,$(filter user/libvmq/%,$(LIB_SRC)) user/common/err.c user/common/util.c)
	$(call say,AR,$@)
	$(Q)$(LD) -r -o $(@:.a=.o) $^ && $(OBJCOPY) -w -G 'vmq_*' $(@:.a=.o)
	$(Q)rm -f $@ && $(AR) rcs $@ $(@:.a=.o)

check:
	$(Q)scripts/check

# ---- lint: one stamp per file, so `make -j lint` is parallel and incremental --

LINT_C	:= $(ALL_SRC:%=$(BUILD)/lint/%.ok)
LINT_SH := $(patsubst %,$(BUILD)/lint/%.ok,$(SCRIPTS) $(BASH_SRC))

lint: $(LINT_C) $(BUILD)/lint/layers.ok $(if $(shell command -v $(SHELLCHECK)),$(LINT_SH))

$(LINT_C): $(BUILD)/lint/%.ok: % .clang-tidy $(wildcard user/*/*.h tests/*/*.h include/vmq/*.h) | $(SKELETONS)
	$(call say,LINT,$*)
	@mkdir -p $(@D)
	$(Q)$(CPPCHECK) --quiet --std=c11 --error-exitcode=1 --enable=warning,performance,portability \
		--inline-suppr -D_GNU_SOURCE --include=tests/lib/cppcheck.h -Iinclude -Iuser $<
	$(Q)$(CLANG_TIDY) --quiet $< -- $(CPPFLAGS) \
		-std=gnu11 -Wall -Wextra 2>$@.log || { cat $@.log >&2; exit 1; }
	@rm -f $@.log; touch $@

$(BUILD)/lint/layers.ok: scripts/layers $(wildcard bpf/*.[ch] user/*/*.[ch])
	$(call say,LAYERS,user)
	@mkdir -p $(@D)
	$(Q)scripts/layers && touch $@

$(LINT_SH): $(BUILD)/lint/%.ok: %
	$(call say,SHELL,$*)
	@mkdir -p $(@D)
	$(Q)$(SHELLCHECK) -x -S warning $< && touch $@

# ---- install ----------------------------------------------------------------

MAN	:= $(wildcard user/man/*.[1-8])
HEADERS := $(wildcard include/vmq/*.h)
SYSTEMD := $(wildcard scripts/systemd/*.service)
COMPL	:= $(wildcard scripts/completion/*)
man_to	 = $(DESTDIR)$(MANDIR)/man$(patsubst .%,%,$(suffix $(1)))/$(notdir $(1))

install: all
	$(Q)$(INSTALL) -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(INCDIR)/vmq $(DESTDIR)$(LIBDIR) \
		$(DESTDIR)$(UNITDIR) $(DESTDIR)$(COMPDIR)
	$(Q)$(INSTALL) -m 755 $(PROGRAMS) $(DESTDIR)$(SBINDIR)
	$(Q)$(INSTALL) -m 644 $(HEADERS) $(DESTDIR)$(INCDIR)/vmq
	$(Q)$(INSTALL) -m 644 $(BUILD)/libvmq.a $(DESTDIR)$(LIBDIR)
	$(Q)$(foreach m,$(MAN),$(INSTALL) -D -m 644 $(m) $(call man_to,$(m)) &&) true
	$(Q)$(foreach u,$(SYSTEMD),sed 's|@SBINDIR@|$(SBINDIR)|' $(u) >$(DESTDIR)$(UNITDIR)/$(notdir $(u)) &&) true
	$(Q)$(foreach c,$(COMPL),$(INSTALL) -m 644 $(c) $(DESTDIR)$(COMPDIR) &&) true

uninstall:
	$(Q)rm -f $(addprefix $(DESTDIR)$(SBINDIR)/,$(notdir $(PROGRAMS))) $(DESTDIR)$(LIBDIR)/libvmq.a \
		$(foreach m,$(MAN),$(call man_to,$(m))) \
		$(addprefix $(DESTDIR)$(INCDIR)/vmq/,$(notdir $(HEADERS))) \
		$(addprefix $(DESTDIR)$(UNITDIR)/,$(notdir $(SYSTEMD))) \
		$(addprefix $(DESTDIR)$(COMPDIR)/,$(notdir $(COMPL)))

include tests/fuzz/fuzz.mk

clean:
	$(Q)rm -rf build build-asan

help:
	@echo 'targets:   all (default), unit (tests and test tools), check (whole suite, root), lint,'
	@echo '           install, uninstall, fuzz (FUZZ_SECONDS each), clean, help'
	@echo 'variables: V=1 (show commands), WERROR=1, SANITIZE=1 (ASan and UBSan, in build-asan),'
	@echo '           PREFIX, DESTDIR, CC, CLANG, BPFTOOL'

-include $(patsubst %.o,%.d,$(call objects,$(ALL_SRC)) $(SKELETONS:%.skel.h=%.bpf.o))
