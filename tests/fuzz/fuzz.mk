# SPDX-License-Identifier: GPL-2.0-only
#
# Fuzz targets, included by the top Makefile: `make fuzz FUZZ_SECONDS=600`.
# tests/fuzz/NAME.c is a libFuzzer target; tests/fuzz/corpus/NAME its seeds.
# What a run finds stays in $(BUILD)/fuzz.

FUZZ_SECONDS ?= 60
FUZZ_CC	     ?= $(CLANG)
FUZZ_FLAGS   := -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=all -pthread $(WARNINGS)
FUZZ_NAMES   := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c))
# All of the channels but the tap, and who knows it.
FUZZ_LIB     := $(filter-out user/channel/tap.c user/channel/channel.c user/channel/link.c,\
		$(wildcard user/channel/*.c)) $(wildcard user/common/*.c)

.PHONY: fuzz $(FUZZ_NAMES:%=fuzz-%)
fuzz: $(FUZZ_NAMES:%=fuzz-%)

$(BUILD)/fuzz/%: tests/fuzz/%.c $(FUZZ_LIB) $(wildcard user/channel/*.h user/common/*.h)
	$(call say,FUZZ,$@)
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(CPPFLAGS) $(FUZZ_FLAGS) -o $@ $< $(FUZZ_LIB) $(LDLIBS)

# One after another, so that the time given is the time of each.
$(FUZZ_NAMES:%=fuzz-%): fuzz-%: $(BUILD)/fuzz/%
	@mkdir -p $(BUILD)/fuzz/found-$*
	$(Q)cd $(BUILD)/fuzz && $(abspath $<) -max_total_time=$(FUZZ_SECONDS) -max_len=8192 \
		-timeout=10 -print_final_stats=1 -artifact_prefix=finding-$*- \
		found-$* $(abspath tests/fuzz/corpus/$*)
