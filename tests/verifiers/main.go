// Check exported logs with the packages that check Go's own module database: golang.org/x/mod/sumdb/note and tlog.
//
//	main CASES.json
//
// CASES.json is what test_independent_verifiers.py writes. On standard output: what was refused though it is as it was
// published, what was accepted though a bit of it was changed, and how much of both was tried.
package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const tileHeight = 8

// Bytes are base64 in the JSON.
type inclusion struct {
	Index int64
	Entry []byte
	Path  [][]byte
}

type consistency struct {
	OldCheckpoint string `json:"old_checkpoint"`
	Path          [][]byte
}

type exportedLog struct {
	Folder      string
	Checkpoint  string
	Inclusion   []inclusion
	Consistency []consistency
	// How many single-bit changes to try in the tiles, and in the entries, of this log; all, where they have fewer.
	ChangesMax int `json:"changes_max"`
}

type cases struct {
	Key  string
	Logs []exportedLog
}

// Where a changed bit was not noticed, or what was refused as it was published.
type finding struct {
	Folder string `json:"folder"`
	What   string `json:"what"`
	Bit    int    `json:"bit"`
	Why    string `json:"why"`
}

type report struct {
	Accepted        map[string]int `json:"accepted"`
	Refused         map[string]int `json:"refused"`
	WronglyRefused  []finding      `json:"wrongly_refused"`
	WronglyAccepted []finding      `json:"wrongly_accepted"`
}

type checking struct {
	log    exportedLog
	known  note.Verifiers
	report *report
}

func (c *checking) mustAccept(what string, err error) {
	if err != nil {
		c.report.WronglyRefused = append(c.report.WronglyRefused, finding{c.log.Folder, what, -1, err.Error()})
		return
	}
	c.report.Accepted[what]++
}

func (c *checking) mustRefuse(what string, bit int, err error) {
	if err == nil {
		c.report.WronglyAccepted = append(c.report.WronglyAccepted, finding{c.log.Folder, what, bit, ""})
		return
	}
	c.report.Refused[what]++
}

// Call back with each single bit of some bytes changed in turn.
func changes(content []byte, try func(bit int)) {
	someChanges(content, 8*len(content), 0, try)
}

// Call back with up to limit single bits of some bytes changed in turn, evenly spread, in each file other ones.
func someChanges(content []byte, limit int, file int, try func(bit int)) {
	step := 1
	if 8*len(content) > limit {
		// Odd, so that it meets every bit of a byte.
		step = 8*len(content)/limit | 1
	}
	for bit := file * 997 % step; bit < 8*len(content); bit += step {
		content[bit/8] ^= 1 << uint(bit%8)
		try(bit)
		content[bit/8] ^= 1 << uint(bit%8)
	}
}

func openCheckpoint(content []byte, known note.Verifiers) (tlog.Tree, error) {
	opened, err := note.Open(content, known)
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != opened.Sigs[0].Name {
		return tlog.Tree{}, fmt.Errorf("not the checkpoint of this origin")
	}
	// tlog knows the same three lines under a first line of its own.
	return tlog.ParseTree([]byte("go.sum database tree\n" + lines[1] + "\n" + lines[2] + "\n"))
}

// The tiles of an exported log, read once, under the paths that tlog has for them.
type tiles map[string][]byte

func (t tiles) Height() int { return tileHeight }

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, one := range wanted {
		content, ok := t[one.Path()]
		if !ok {
			return nil, fmt.Errorf("there is no %s", one.Path())
		}
		found = append(found, content)
	}
	return found, nil
}

func readFiles(folder string) (hashes tiles, entries tiles, err error) {
	hashes, entries = tiles{}, tiles{}
	root := filepath.Join(folder, "tile")
	err = filepath.Walk(root, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(path[len(root)+1:])
		if strings.HasPrefix(name, "entries/") {
			entries["tile/8/data/"+strings.TrimPrefix(name, "entries/")] = content
		} else {
			hashes["tile/8/"+name] = content
		}
		return nil
	})
	return hashes, entries, err
}

func sortedPaths(t tiles) []string {
	var paths []string
	for path := range t {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	return paths
}

func recordProof(path [][]byte) tlog.RecordProof {
	var proof tlog.RecordProof
	for _, step := range path {
		var hash tlog.Hash
		copy(hash[:], step)
		proof = append(proof, hash)
	}
	return proof
}

func (c *checking) checkAll() error {
	content := []byte(c.log.Checkpoint)
	tree, err := openCheckpoint(content, c.known)
	c.mustAccept("checkpoint", err)
	if err != nil {
		return nil
	}
	changes(content, func(bit int) {
		_, err := openCheckpoint(content, c.known)
		c.mustRefuse("checkpoint", bit, err)
	})
	published, err := os.ReadFile(filepath.Join(c.log.Folder, "checkpoint"))
	if err != nil {
		return err
	}
	// It has a line more than the checkpoint in the store: a cosignature of a kind that this package passes over.
	publishedTree, err := openCheckpoint(published, c.known)
	if err == nil && publishedTree != tree {
		err = fmt.Errorf("another head was published")
	}
	c.mustAccept("published checkpoint", err)

	hashes, entries, err := readFiles(c.log.Folder)
	if err != nil {
		return err
	}
	reader := tlog.TileHashReader(tree, hashes)
	root, err := tlog.TreeHash(tree.N, reader)
	if err == nil && root != tree.Hash {
		err = fmt.Errorf("the tiles have the root %v", root)
	}
	c.mustAccept("tree of the tiles", err)
	c.checkPaths(tree, hashes)
	for _, one := range c.log.Inclusion {
		c.checkInclusion(tree, reader, one)
	}
	for _, one := range c.log.Consistency {
		c.checkConsistency(tree, reader, one)
	}
	if err := c.checkTiles(tree, hashes); err != nil {
		return err
	}
	return c.checkEntries(tree, reader, entries)
}

// The files are those that C2SP tlog-tiles names for a tree of this size, no fewer and no more.
func (c *checking) checkPaths(tree tlog.Tree, hashes tiles) {
	wanted := map[string]bool{}
	for level, count := 0, tree.N; count > 0; level, count = level+1, count>>tileHeight {
		for number := int64(0); number<<tileHeight < count; number++ {
			width := count - number<<tileHeight
			if width > 1<<tileHeight {
				width = 1 << tileHeight
			}
			wanted[tlog.Tile{H: tileHeight, L: level, N: number, W: int(width)}.Path()] = true
		}
	}
	for path := range hashes {
		if !wanted[path] {
			c.mustAccept("paths of the tiles", fmt.Errorf("%s is none of this tree", path))
		}
		delete(wanted, path)
	}
	var err error
	if len(wanted) > 0 {
		err = fmt.Errorf("missing: %v", wanted)
	}
	c.mustAccept("paths of the tiles", err)
}

func (c *checking) checkInclusion(tree tlog.Tree, reader tlog.HashReader, one inclusion) {
	path := recordProof(one.Path)
	leaf := tlog.RecordHash(one.Entry)
	c.mustAccept("inclusion", tlog.CheckRecord(path, tree.N, tree.Hash, one.Index, leaf))
	ours := fmt.Sprint(path)
	rebuilt, err := tlog.ProveRecord(tree.N, one.Index, reader)
	if err == nil && fmt.Sprint(rebuilt) != ours {
		err = fmt.Errorf("from the tiles it is another proof")
	}
	c.mustAccept("inclusion from tiles", err)

	for i := range path {
		changes(path[i][:], func(bit int) {
			c.mustRefuse("inclusion", 256*i+bit, tlog.CheckRecord(path, tree.N, tree.Hash, one.Index, leaf))
		})
	}
	changes(one.Entry, func(bit int) {
		changed := tlog.RecordHash(one.Entry)
		c.mustRefuse("included entry", bit, tlog.CheckRecord(path, tree.N, tree.Hash, one.Index, changed))
	})
	index := make([]byte, 8)
	binary.BigEndian.PutUint64(index, uint64(one.Index))
	changes(index, func(bit int) {
		changed := int64(binary.BigEndian.Uint64(index))
		c.mustRefuse("index of the entry", bit, tlog.CheckRecord(path, tree.N, tree.Hash, changed, leaf))
	})
	if len(path) > 0 {
		c.mustRefuse("shorter inclusion", 0, tlog.CheckRecord(path[1:], tree.N, tree.Hash, one.Index, leaf))
	}
	longer := append(tlog.RecordProof{leaf}, path...)
	c.mustRefuse("longer inclusion", 0, tlog.CheckRecord(longer, tree.N, tree.Hash, one.Index, leaf))
}

func (c *checking) checkConsistency(tree tlog.Tree, reader tlog.HashReader, one consistency) {
	old, err := openCheckpoint([]byte(one.OldCheckpoint), c.known)
	if err != nil {
		c.mustAccept("older checkpoint", err)
		return
	}
	path := tlog.TreeProof(recordProof(one.Path))
	c.mustAccept("consistency", tlog.CheckTree(path, tree.N, tree.Hash, old.N, old.Hash))
	rebuilt, err := tlog.ProveTree(tree.N, old.N, reader)
	if err == nil && fmt.Sprint(rebuilt) != fmt.Sprint(path) {
		err = fmt.Errorf("from the tiles it is another proof")
	}
	c.mustAccept("consistency from tiles", err)

	for i := range path {
		changes(path[i][:], func(bit int) {
			c.mustRefuse("consistency", 256*i+bit, tlog.CheckTree(path, tree.N, tree.Hash, old.N, old.Hash))
		})
	}
	changes(old.Hash[:], func(bit int) {
		c.mustRefuse("older root", bit, tlog.CheckTree(path, tree.N, tree.Hash, old.N, old.Hash))
	})
	if len(path) > 0 {
		c.mustRefuse("shorter consistency", 0, tlog.CheckTree(path[1:], tree.N, tree.Hash, old.N, old.Hash))
	}
	longer := append(tlog.TreeProof{old.Hash}, path...)
	c.mustRefuse("longer consistency", 0, tlog.CheckTree(longer, tree.N, tree.Hash, old.N, old.Hash))
}

// Tiles to be read before the one that is meant. TileHashReader (seen in release 0.7) takes it that as many tiles as the
// root is made of hashes were checked against the root, and does not look at that many. Where several of these hashes
// are in one tile, that leaves out the next ones that are asked for. So these come first.
func tilesBefore(meant tlog.Tile, tree tlog.Tree) []int64 {
	var indexes []int64
	for number := tree.N>>tileHeight - 1; number >= 0 && len(indexes) < 8; number-- {
		if meant.L != 0 || meant.N != number {
			indexes = append(indexes, tlog.StoredHashIndex(0, number<<tileHeight))
		}
	}
	return indexes
}

func (c *checking) checkTiles(tree tlog.Tree, hashes tiles) error {
	reader := tlog.TileHashReader(tree, hashes)
	for file, path := range sortedPaths(hashes) {
		tile, err := tlog.ParseTilePath(path)
		if err != nil {
			c.mustAccept("paths of the tiles", err)
			continue
		}
		before := tilesBefore(tile, tree)
		check := func(bit int) error {
			number := tile.N<<tileHeight + int64(bit/(8*tlog.HashSize))
			_, err := reader.ReadHashes(append(before, tlog.StoredHashIndex(tileHeight*tile.L, number)))
			return err
		}
		c.mustAccept("tile", check(0))
		limit := perFile(c.log.ChangesMax, hashes)
		someChanges(hashes[path], limit, file, func(bit int) { c.mustRefuse("tile", bit, check(bit)) })
	}
	return nil
}

func perFile(changesMax int, files tiles) int {
	if changesMax < len(files) {
		return 1
	}
	return changesMax / len(files)
}

// A bundle of entries as the specification has it: each after its length, 16 bits, the higher byte first.
func entriesOf(content []byte) ([][]byte, error) {
	var entries [][]byte
	for len(content) > 0 {
		if len(content) < 2 || len(content)-2 < int(binary.BigEndian.Uint16(content)) {
			return nil, fmt.Errorf("an entry ends beyond its bundle")
		}
		end := 2 + int(binary.BigEndian.Uint16(content))
		entries = append(entries, content[2:end])
		content = content[end:]
	}
	return entries, nil
}

func (c *checking) checkEntries(tree tlog.Tree, reader tlog.HashReader, bundles tiles) error {
	count := int64(0)
	for file, path := range sortedPaths(bundles) {
		tile, err := tlog.ParseTilePath(path)
		if err != nil {
			c.mustAccept("paths of the bundles", err)
			continue
		}
		var indexes []int64
		for i := 0; i < tile.W; i++ {
			indexes = append(indexes, tlog.StoredHashIndex(0, tile.N<<tileHeight+int64(i)))
		}
		leaves, err := reader.ReadHashes(indexes)
		if err != nil {
			return err
		}
		content := bundles[path]
		check := func() error {
			entries, err := entriesOf(content)
			if err == nil && len(entries) != len(leaves) {
				err = fmt.Errorf("a bundle of %d entries for %d leaves", len(entries), len(leaves))
			}
			for i := 0; err == nil && i < len(leaves); i++ {
				if tlog.RecordHash(entries[i]) != leaves[i] {
					err = fmt.Errorf("entry %d is not that of the tree", i)
				}
			}
			return err
		}
		c.mustAccept("bundle of entries", check())
		someChanges(content, perFile(c.log.ChangesMax, bundles), file, func(bit int) {
			c.mustRefuse("bundle of entries", bit, check())
		})
		count += int64(tile.W)
	}
	var err error
	if count != tree.N {
		err = fmt.Errorf("the bundles have %d entries", count)
	}
	c.mustAccept("all entries", err)
	return nil
}

func run(path string) (*report, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var given cases
	if err := json.Unmarshal(content, &given); err != nil {
		return nil, err
	}
	verifier, err := note.NewVerifier(given.Key)
	if err != nil {
		return nil, err
	}
	found := &report{map[string]int{}, map[string]int{}, []finding{}, []finding{}}
	for _, one := range given.Logs {
		c := &checking{one, note.VerifierList(verifier), found}
		if err := c.checkAll(); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func main() {
	found, err := run(os.Args[1])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
