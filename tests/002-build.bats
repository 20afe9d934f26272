#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-only
#
# What is installed: all of it, where it was told, and gone again after uninstall.

load lib/vmq

# Relative: make takes no path with spaces, and the tree may be below one.
in_tree()
{
	make -C "$ROOT" BUILD="${VMQ_BUILD#"$ROOT"/}" "$@"
}

@test "make install puts programs, manuals, library, unit and completion below DESTDIR" {
	dest=$BATS_TEST_TMPDIR/dest
	in_tree install DESTDIR="$dest" PREFIX=/usr
	for file in sbin/vmq-load sbin/vmqctl include/vmq/vmq.h include/vmq/abi.h lib/libvmq.a \
		share/man/man8/vmq-load.8 share/man/man8/vmqctl.8 share/man/man7/vmq.7 \
		share/man/man7/vmq-protocol.7 share/man/man7/vmq-vhost-user.7 lib/systemd/system/vmq-load@.service \
		share/bash-completion/completions/vmqctl; do
		[ -s "$dest/usr/$file" ] || { echo "no $file" >&2; false; }
	done
	"$dest/usr/sbin/vmqctl" --version
	"$dest/usr/sbin/vmq-load" --help
	grep -q '^ExecStart=/usr/sbin/vmq-load --keep ' "$dest/usr/lib/systemd/system/vmq-load@.service"
	for page in vmq-load vmqctl vmq vmq-protocol vmq-vhost-user; do
		run -0 --separate-stderr env LC_ALL=C.UTF-8 groff -man -t -ww -Tutf8 \
			"$dest"/usr/share/man/man?/$page.?
		# shellcheck disable=SC2154
		[ -z "$stderr" ]
		[ "${#lines[@]}" -gt 50 ]
	done
	in_tree uninstall DESTDIR="$dest" PREFIX=/usr
	[ -z "$(find "$dest" -type f)" ]
}

@test "a program of one's own needs the installed header and library only" {
	dest=$BATS_TEST_TMPDIR/dest
	in_tree install DESTDIR="$dest" PREFIX=/usr
	cat >"$BATS_TEST_TMPDIR/own.c" <<-END
		#include <stdio.h>
		#include <vmq/vmq.h>
		int main(void)
		{
			struct vmq *v;
			int rc = vmq_open(&v, "/nowhere", NULL);

			printf("%s\n", vmq_error(v));
			vmq_close(v);
			return rc ? 0 : 1;
		}
	END
	sanitize=()
	case $VMQ_BUILD in
	*asan*) sanitize=("-fsanitize=address,undefined") ;;
	esac
	cc "${sanitize[@]}" -Wall -Werror -I"$dest/usr/include" -o "$BATS_TEST_TMPDIR/own" \
		"$BATS_TEST_TMPDIR/own.c" -L"$dest/usr/lib" -lvmq -ljansson
	run -0 "$BATS_TEST_TMPDIR/own"
	[[ $output == *"no service runs in /nowhere"* ]]
}

@test "make help names every target and variable that README and check use" {
	run -0 in_tree help
	for word in all unit check lint install uninstall clean help V=1 WERROR=1 SANITIZE=1 PREFIX \
		DESTDIR; do
		[[ $output == *"$word"* ]]
	done
}

@test "includes point one way, and scripts/layers says which does not" {
	run -0 "$ROOT/scripts/layers"
	mkdir -p "$BATS_TEST_TMPDIR/tree/bpf" "$BATS_TEST_TMPDIR/tree/user/channel"
	cd "$BATS_TEST_TMPDIR/tree" || return 1
	: >bpf/maps.h
	printf '#include "common/err.h"\n#include "vmq/abi.h"\n' >user/channel/tap.c
	run -0 "$ROOT/scripts/layers" .
	echo '#include "control/queue.h"' >>user/channel/tap.c
	run -1 "$ROOT/scripts/layers" .
	[[ $output == "user/channel/tap.c:3: error: control/queue.h is included: channel/ may include of others: common" ]]
}
