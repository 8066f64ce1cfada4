// Makes the stores of the folder above with the libraries that Kubo links, and asks each library what its store holds.
//
//	go run . DIRECTORY
//
// Each store is copied while it is open, as `kill -9` would leave it: tables in several levels, overwritten and deleted
// keys, and journals that nobody replayed.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"sort"
	"strings"

	pebble1 "github.com/cockroachdb/pebble"
	"github.com/cockroachdb/pebble/v2"
	"github.com/dgraph-io/badger"
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"
)

const keys = 700

// What a library must do to take part.
type store interface {
	put(key, value []byte)
	remove(key []byte)
	flush(round int)
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: go run . DIRECTORY")
	}
	out := os.Args[1]
	one(out, "pebble-1", openPebble1)
	for _, version := range []int{13, 16, 19, 21, 24} {
		open := func(dir string) (store, func()) { return openPebble2(dir, pebble.FormatMajorVersion(version)) }
		one(out, fmt.Sprintf("pebble-%d", version), open)
	}
	one(out, "leveldb", openLevelDB)
	one(out, "badger", openBadger)
}

// one makes the store NAME and, beside it, NAME.pairs: what it must hold, a line a pair.
func one(out, name string, open func(string) (store, func())) {
	work, err := os.MkdirTemp("", "stores")
	check(err)
	defer os.RemoveAll(work)
	opened, stop := open(work)
	held := map[string][]byte{}
	put := func(i, round int) {
		value := valueOf(i, round)
		opened.put(keyOf(i), value)
		held[string(keyOf(i))] = value
	}
	remove := func(i int) {
		opened.remove(keyOf(i))
		delete(held, string(keyOf(i)))
	}
	for i := 0; i < keys; i++ {
		put(i, 0)
	}
	opened.flush(0)
	for i := 0; i < keys; i += 3 {
		remove(i)
	}
	opened.flush(1)
	for i := 0; i < keys; i += 6 {
		put(i, 2)
	}
	for i := 1; i < keys; i += 7 {
		put(i, 2)
	}
	opened.flush(2)
	for i := 2; i < keys; i += 11 {
		remove(i)
	}
	opened.flush(3)
	// Not flushed: what the journals hold.
	for i := 0; i < keys; i += 13 {
		put(i, 4)
	}
	for i := 5; i < keys; i += 17 {
		remove(i)
	}
	for i := keys; i < keys+40; i++ {
		put(i, 4)
	}
	copyDir(work, filepath.Join(out, name))
	stop()
	writePairs(filepath.Join(out, name+".pairs"), held)
}

func keyOf(i int) []byte {
	sum := sha256.Sum256([]byte(fmt.Sprint("key", i)))
	return []byte("/blocks/" + strings.ToUpper(hex.EncodeToString(sum[:12])))
}

// valueOf is empty now and then, longer than a table's block now and then, and packs well.
func valueOf(i, round int) []byte {
	sum := sha256.Sum256([]byte(fmt.Sprint("value", i, round)))
	switch {
	case i%97 == 0:
		return []byte{}
	case i%89 == 0:
		return bytes.Repeat(sum[:], 300)
	default:
		return bytes.Repeat(sum[:], 1+int(sum[0])%9)
	}
}

func writePairs(path string, held map[string][]byte) {
	var lines []string
	for key, value := range held {
		lines = append(lines, fmt.Sprintf("%s %d %x\n", key, len(value), sha256.Sum256(value)))
	}
	sort.Strings(lines)
	check(os.WriteFile(path, []byte(strings.Join(lines, "")), 0o644))
}

func copyDir(from, to string) {
	check(os.MkdirAll(to, 0o755))
	entries, err := os.ReadDir(from)
	check(err)
	for _, entry := range entries {
		source, err := os.Open(filepath.Join(from, entry.Name()))
		check(err)
		target, err := os.Create(filepath.Join(to, entry.Name()))
		check(err)
		_, err = io.Copy(target, source)
		check(err)
		check(target.Close())
		check(source.Close())
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

type pebble2Store struct{ db *pebble.DB }

// Small index blocks, so that small tables have two levels of index; compactions only where they are asked for.
func openPebble2(dir string, version pebble.FormatMajorVersion) (store, func()) {
	options := &pebble.Options{FormatMajorVersion: version, DisableAutomaticCompactions: true, Logger: quiet{}}
	for i := range options.Levels {
		options.Levels[i].IndexBlockSize = 256
		options.Levels[i].BlockSize = 1024
	}
	db, err := pebble.Open(dir, options)
	check(err)
	return pebble2Store{db}, func() { check(db.Close()) }
}

func (s pebble2Store) put(key, value []byte) { check(s.db.Set(key, value, pebble.Sync)) }
func (s pebble2Store) remove(key []byte)     { check(s.db.Delete(key, pebble.NoSync)) }
func (s pebble2Store) flush(round int) {
	check(s.db.Flush())
	if round == 0 {
		check(s.db.Compact(context.Background(), []byte("/blocks/4"), []byte("/blocks/9"), false))
	}
}

type pebble1Store struct{ db *pebble1.DB }

func openPebble1(dir string) (store, func()) {
	options := &pebble1.Options{DisableAutomaticCompactions: true, Logger: quiet{}}
	options.Levels = make([]pebble1.LevelOptions, 7)
	for i := range options.Levels {
		options.Levels[i].IndexBlockSize = 256
		options.Levels[i].BlockSize = 1024
	}
	db, err := pebble1.Open(dir, options)
	check(err)
	return pebble1Store{db}, func() { check(db.Close()) }
}

func (s pebble1Store) put(key, value []byte) { check(s.db.Set(key, value, pebble1.Sync)) }
func (s pebble1Store) remove(key []byte)     { check(s.db.Delete(key, pebble1.NoSync)) }
func (s pebble1Store) flush(round int) {
	check(s.db.Flush())
	if round == 0 {
		check(s.db.Compact([]byte("/blocks/4"), []byte("/blocks/9"), false))
	}
}

type levelStore struct{ db *leveldb.DB }

// Small tables, so that there are many, in several levels.
func openLevelDB(dir string) (store, func()) {
	db, err := leveldb.OpenFile(dir, &opt.Options{WriteBuffer: 32 << 10, CompactionTableSize: 16 << 10, CompactionTotalSize: 64 << 10})
	check(err)
	return levelStore{db}, func() { check(db.Close()) }
}

func (s levelStore) put(key, value []byte) { check(s.db.Put(key, value, nil)) }
func (s levelStore) remove(key []byte)     { check(s.db.Delete(key, nil)) }
func (s levelStore) flush(round int) {
	if round == 1 {
		check(s.db.CompactRange(util.Range{Start: []byte("/blocks/4"), Limit: []byte("/blocks/9")}))
	}
}

type badgerStore struct{ db *badger.DB }

func openBadger(dir string) (store, func()) {
	options := badger.LSMOnlyOptions(dir)
	options.Logger = nil
	options.ValueThreshold = 200
	options.MaxTableSize = 64 << 10
	options.LevelOneSize = 128 << 10
	options.NumLevelZeroTables = 2
	options.NumMemtables = 2
	options.ValueLogFileSize = 1 << 20
	options.ValueLogMaxEntries = 300
	options.SyncWrites = false
	db, err := badger.Open(options)
	check(err)
	return badgerStore{db}, func() { check(db.Close()) }
}

func (s badgerStore) put(key, value []byte) {
	check(s.db.Update(func(txn *badger.Txn) error { return txn.Set(key, append([]byte{}, value...)) }))
}
func (s badgerStore) remove(key []byte) {
	check(s.db.Update(func(txn *badger.Txn) error { return txn.Delete(key) }))
}
func (s badgerStore) flush(round int) {
	// Moves what still counts out of the first value logs.
	for round == 3 && s.db.RunValueLogGC(0.01) == nil {
	}
}

type quiet struct{}

func (quiet) Infof(string, ...interface{})            {}
func (quiet) Errorf(text string, args ...interface{}) { log.Printf(text, args...) }
func (quiet) Fatalf(text string, args ...interface{}) { log.Fatalf(text, args...) }
