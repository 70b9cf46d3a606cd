#include "cnn_host.h"

#include <stddef.h>

#include "cnn_map.h"
#include "cnn_port.h"

#ifdef CNN_HOST /* on the board, where every C file of a project is compiled: nothing */

typedef struct {
    uint32_t base, group_stride, unit_stride, entry_stride;
    uint32_t groups, units, entries, words;
} region;

static const region regions[] = CNN_REGIONS;

enum { REGIONS = sizeof regions / sizeof regions[0] };

static uint32_t *images[REGIONS];

cnn_host_counts cnn_host_accesses;

void cnn_host_attach(uint32_t number, uint32_t *words)
{
    if (number < REGIONS)
        images[number] = words;
}

/* Quotient by a stride; an axis of one has no stride. */
static uint32_t take(uint32_t *offset, uint32_t stride, uint32_t count)
{
    uint32_t quotient = count > 1 ? *offset / stride : 0;

    *offset -= quotient * (count > 1 ? stride : 0);
    return quotient;
}

static uint32_t *find(uint32_t address)
{
    for (unsigned n = 0; n < REGIONS; n++) {
        const region *row = &regions[n];
        uint32_t offset = address - row->base;
        uint32_t group, unit, entry;

        if (address < row->base || !images[n])
            continue;
        group = take(&offset, row->group_stride, row->groups);
        unit = take(&offset, row->unit_stride, row->units);
        entry = take(&offset, row->entry_stride, row->entries);
        if (group < row->groups && unit < row->units && entry < row->entries
            && offset / 4 < row->words)
            return &images[n][((group * row->units + unit) * row->entries + entry) * row->words
                              + offset / 4];
    }
    cnn_host_accesses.faults++;
    return NULL;
}

uint32_t cnn_read(uint32_t address)
{
    uint32_t *word = find(address);

    cnn_host_accesses.reads++;
    return word ? *word : 0;
}

void cnn_write(uint32_t address, uint32_t value)
{
    uint32_t *word = find(address);

    cnn_host_accesses.writes++;
    if (word)
        *word = value;
}

#endif
