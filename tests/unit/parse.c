// SPDX-License-Identifier: GPL-2.0-only
/*
 * parse.c - the words users write, the option table, and errors
 *
 * Tables of words with what must come of them; no kernel needed but /sys for
 * the CPUs that are online.
 */
#include "unit.h"

#include <unistd.h>

#include "common/err.h"
#include "common/opts.h"
#include "common/parse.h"
#include "common/util.h"
#include "vmq/abi.h"

static void test_mac(void)
{
	static const struct {
		const char *word;
		uint64_t value;		/* 0: refused */
		const char *says;	/* part of the sentence */
	} macs[] = {
		{ "52:54:00:00:00:01", 0x525400000001, NULL },
		{ "AA:bb:0C:d0:eE:ff", 0xaabb0cd0eeff, NULL },
		{ "", 0, "no MAC address" },
		{ "52:54:00:00:00", 0, "no MAC address" },
		{ "52:54:00:00:00:01:02", 0, "no MAC address" },
		{ "52:54:00:00:00:01 ", 0, "no MAC address" },
		{ "52:54:00:00:00:1", 0, "no MAC address" },
		{ "52-54-00-00-00-01", 0, "no MAC address" },
		{ "52:54:00:00:00:0g", 0, "no MAC address" },
		{ "525400000001", 0, "no MAC address" },
		{ "01:00:5e:00:00:01", 0, "multicast" },
		{ "ff:ff:ff:ff:ff:ff", 0, "multicast" },
		{ "00:00:00:00:00:00", 0, "any VM" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(macs); i++) {
		struct vmq_err err = VMQ_ERR_INIT;
		char text[MAC_STRLEN];
		uint8_t mac[6] = { 0 };
		int rc = parse_mac(macs[i].word, mac, &err);

		if (macs[i].value) {
			ok(!rc && mac_to_u48(mac) == macs[i].value, "MAC '%s' is understood",
			   macs[i].word);
			ok(!strcasecmp(format_mac(mac, text), macs[i].word),
			   "MAC '%s' is written the same", macs[i].word);
		} else {
			ok(rc == -EINVAL && err.code == rc && strstr(err.text, macs[i].says),
			   "MAC '%s' is refused: %s", macs[i].word, err.text);
			ok(!mac_to_u48(mac), "MAC '%s' leaves the result alone", macs[i].word);
		}
	}
}

static void test_rule(void)
{
	static const struct {
		const char *word;
		int rule;		/* -1: refused */
	} rules[] = {
		{ "untagged", VMQ_RULE_UNTAGGED }, { "any", VMQ_RULE_ANY },
		{ "1", 1 }, { "4094", 4094 },
		{ "0", -1 }, { "4095", -1 }, { "65536", -1 }, { "", -1 }, { "-1", -1 },
		{ "+1", -1 }, { " 1", -1 }, { "1 ", -1 }, { "0x10", -1 }, { "Any", -1 },
		{ "18446744073709551617", -1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		struct vmq_err err = VMQ_ERR_INIT;
		uint16_t rule = 7;
		char text[RULE_STRLEN];
		int rc = parse_rule(rules[i].word, &rule, &err);

		if (rules[i].rule >= 0)
			ok(!rc && rule == rules[i].rule &&
			   !strcmp(format_rule(rule, text), rules[i].word),
			   "VLAN rule '%s' is understood and written the same", rules[i].word);
		else
			ok(rc == -EINVAL && rule == 7 && strstr(err.text, "1 to 4094"),
			   "VLAN rule '%s' is refused: %s", rules[i].word, err.text);
	}
}

static void test_cpus(void)
{
	static const char *const bad[] = {
		"", ",", "0,", ",0", "0,,0", "0-", "-0", "1-0", "x", "0x0", "0 ", "0-0-0",
	};
	struct vmq_err err = VMQ_ERR_INIT;
	uint16_t cpu[4] = { 9, 9, 9, 9 };

	ok(parse_cpus("0", cpu, 4, &err) == 1 && cpu[0] == 0, "CPU list '0'");
	ok(parse_cpus("0-0,0,0", cpu, 4, &err) == 1 && cpu[0] == 0,
	   "a CPU named twice is taken once");
	if (sysconf(_SC_NPROCESSORS_ONLN) >= 2) {
		ok(parse_cpus("1,0", cpu, 4, &err) == 2 && cpu[0] == 1 && cpu[1] == 0,
		   "CPU list '1,0' keeps its order");
		ok(parse_cpus("0-1", cpu, 4, &err) == 2 && cpu[0] == 0 && cpu[1] == 1,
		   "CPU list '0-1' is a range");
		ok(parse_cpus("0-1", cpu, 1, &err) == -EINVAL, "more CPUs than fit: %s", err.text);
	} else {
		skip("one CPU", "CPU list '1,0' keeps its order");
		skip("one CPU", "CPU list '0-1' is a range");
		skip("one CPU", "more CPUs than fit");
	}
	ok(parse_cpus("65000", cpu, 4, &err) == -EINVAL && strstr(err.text, "CPU 65000"),
	   "R-3 a CPU that does not exist is refused: %s", err.text);
	ok(parse_cpus("0-18446744073709551615", cpu, 4, &err) == -EINVAL,
	   "R-3 an endless range ends at the first CPU that does not exist: %s", err.text);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ok(parse_cpus(bad[i], cpu, 4, &err) == -EINVAL && strstr(err.text, "no CPU list"),
		   "CPU list '%s' is refused", bad[i]);
}

static void test_number(void)
{
	static const char *const bad[] = {
		"", "-1", "+1", "1k", "0x", "x1", " 1", "1.0", "18446744073709551616",
	};
	struct vmq_err err = VMQ_ERR_INIT;
	uint64_t v = 0;

	ok(!parse_number("16", "ring", 1, 16, &v, &err) && v == 16, "a number at its upper end");
	ok(!parse_number("0x10", "ring", 16, 99, &v, &err) && v == 16, "a hexadecimal number");
	ok(!parse_number("18446744073709551615", "n", 0, UINT64_MAX, &v, &err) && v == UINT64_MAX,
	   "the largest number");
	ok(parse_number("17", "ring", 1, 16, &v, &err) == -EINVAL && strstr(err.text, "1 to 16"),
	   "a number beyond its range: %s", err.text);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ok(parse_number(bad[i], "ring", 0, UINT64_MAX, &v, &err) == -EINVAL &&
		   strstr(err.text, "ring"), "number '%s' is refused", bad[i]);
}

static void test_name(void)
{
	static const char *const good[] = { "web1", "0", "a.b_c-d", "sevenchr" };
	static const char *const bad[] = { "", ".hidden", "-x", "a/b", "a b", "na\xc3\xafve", "..",
					   "ninechars", "a\n" };
	struct vmq_err err = VMQ_ERR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		ok(!parse_name(good[i], "queue name", 9, &err), "name '%s' is taken", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ok(parse_name(bad[i], "queue name", 9, &err) == -EINVAL &&
		   strstr(err.text, "queue name"), "name %zu of the bad ones is refused", i);
}

struct values {
	bool json, verbose;
	const char *name, *dir;
};

static const struct opt table[] = {
	{ "json", 'j', OPT_FLAG, NULL, offsetof(struct values, json), "print JSON" },
	{ "verbose", 'v', OPT_FLAG, NULL, offsetof(struct values, verbose), "say more" },
	{ "name", 'n', OPT_STRING, "NAME", offsetof(struct values, name), "service name" },
	{ "run-dir", 0, OPT_STRING, "DIR", offsetof(struct values, dir), "directory of sockets" },
	{ NULL, 0, OPT_FLAG, NULL, 0, NULL },
};

static void test_opts(void)
{
	static const struct {
		const char *argv[6];
		const char *says;
	} bad[] = {
		{ { "p", "--foo" }, "unknown option --foo; see --help" },
		{ { "p", "--foo=1" }, "unknown option --foo; see --help" },
		{ { "p", "--js" }, "unknown option --js; see --help" },
		{ { "p", "-x" }, "unknown option -x; see --help" },
		{ { "p", "-jx" }, "unknown option -x; see --help" },
		{ { "p", "--json=1" }, "option --json takes no value" },
		{ { "p", "--name" }, "option --name needs a value: --name NAME" },
		{ { "p", "-n" }, "option -n needs a value: -n NAME" },
	};
	char *argv[] = { "p", "-jn", "a", "queue", "--run-dir=/x", "-", "--", "--name", NULL };
	struct vmq_err err = VMQ_ERR_INIT;
	struct values v = { 0 };
	char help[512] = "";
	int argc = 8;
	FILE *f;

	ok(!opts_parse(table, &v, &argc, argv, &err) && v.json && !v.verbose &&
	   !strcmp(v.name, "a") && !strcmp(v.dir, "/x"), "options of every form are understood");
	ok(argc == 4 && !strcmp(argv[1], "queue") && !strcmp(argv[2], "-") &&
	   !strcmp(argv[3], "--name") && !argv[4],
	   "the words that are no options are left, in order");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int n = 0;

		while (bad[i].argv[n])
			n++;
		ok(opts_parse(table, &v, &n, (char **)bad[i].argv, &err) == -EINVAL &&
		   !strcmp(err.text, bad[i].says), "options: %s", bad[i].says);
	}

	f = fmemopen(help, sizeof(help), "w");
	opts_help(table, f);
	fclose(f);
	ok(strstr(help, "-n, --name NAME") && strstr(help, "    --run-dir DIR") &&
	   strstr(help, "print JSON"), "help comes from the table");
}

static void test_err(void)
{
	struct vmq_err err = VMQ_ERR_INIT;
	char longer[2000];

	is_int(vmq_err(NULL, -ENOENT, "lost"), -ENOENT,
	       "an error without a place returns its code");
	is_int(vmq_err(&err, -ENOENT, "no queue %d", 7), -ENOENT, "an error returns its code");
	is_str(err.text, "no queue 7", "an error keeps its sentence");
	vmq_err_prefix(&err, "web%d", 1);
	is_str(err.text, "web1: no queue 7", "a prefix goes in front");
	vmq_err_sys(&err, -EBUSY, "bind");
	is_str(err.text, "bind: Device or resource busy", "the system's words follow");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	vmq_err_sys(&err, -EBUSY, "%s", longer);
	vmq_err_prefix(&err, "%s", longer);
	ok(strlen(err.text) == sizeof(err.text) - 1, "a sentence that is too long is cut");
	is_str(vmq_err_name(-ENOBUFS), "ENOBUFS", "a code has a symbol");
	is_str(vmq_err_name(-12345), "EIO", "an unknown code is EIO");
	is_int(vmq_err_from_name("EBADFD"), -EBADFD, "a symbol has a code");
	is_int(vmq_err_from_name("nonsense"), -EIO, "an unknown symbol is EIO");
	ok(vmq_err_exit(0) == 0 && vmq_err_exit(-EIO) == 1 && vmq_err_exit(-EINVAL) == 2 &&
	   vmq_err_exit(-ENOENT) == 3 && vmq_err_exit(-EBUSY) == 4 && vmq_err_exit(-ENOBUFS) == 5,
	   "exit codes follow the kind of error");
}

int main(void)
{
	uint64_t t = now_ns();

	test_mac();
	test_rule();
	test_cpus();
	test_number();
	test_name();
	test_opts();
	test_err();
	ok(now_ns() >= t && t, "the clock does not go backwards");
	return unit_done();
}
