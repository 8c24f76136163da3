/* A plugin for qemu-user: instructions of the guest between marks that the guest sets.
 *
 * The guest sets a mark with a system call that does not exist, syscall(KWSPOT, what, region):
 * BEGIN and END bound a region, which may be entered many times; REPORT writes a line for each
 * region, "region calls instructions", to the file of the plugin's argument report=FILE.
 *
 * A translation block adds its length to one counter when it is executed, so that a count is exact
 * for a program that runs one thread at a time. What an instruction costs is not seen: a vector
 * instruction counts as one, and so does a load that misses every cache.
 *
 * The interface is version 1 of QEMU's plugins (QEMU 4.2 to 8), as in its include/qemu/qemu-plugin.h;
 * Debian has no package with that header, so the few declarations are repeated here.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { KWSPOT = 0x4b57, BEGIN = 0, END = 1, REPORT = 2, REGIONS = 16, ADD_U64 = 0 };

typedef uint64_t plugin_id;
struct block;

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*translated)(plugin_id, struct block *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct block *block, int operation, void *counter, uint64_t value);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id id, void (*called)(plugin_id, unsigned, int64_t, uint64_t, uint64_t,
    uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));
size_t qemu_plugin_tb_n_insns(const struct block *block);

static uint64_t executed;
static struct { uint64_t calls, instructions, began_at; } regions[REGIONS];
static const char *report_file;

static void translated(plugin_id id, struct block *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, ADD_U64, &executed, qemu_plugin_tb_n_insns(block));
}

static void report(void)
{
    FILE *file = fopen(report_file, "w");
    if (!file)
        return; /* Whoever reads the report finds none, and says so. */
    for (int i = 0; i < REGIONS; i++)
        if (regions[i].calls)
            fprintf(file, "%d %" PRIu64 " %" PRIu64 "\n", i, regions[i].calls, regions[i].instructions);
    fclose(file);
}

static void called(plugin_id id, unsigned cpu, int64_t number, uint64_t what, uint64_t region, uint64_t a3, uint64_t a4,
    uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)cpu, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number != KWSPOT || region >= REGIONS)
        return;
    if (what == BEGIN) {
        regions[region].began_at = executed;
    } else if (what == END) {
        regions[region].calls++;
        regions[region].instructions += executed - regions[region].began_at;
    } else if (what == REPORT) {
        report();
    }
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
    (void)info;
    if (argc != 1 || strncmp(argv[0], "report=", 7))
        return 1;
    report_file = argv[0] + 7;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
