package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc64"
	"io"

	"go.mongodb.org/mongo-driver/bson"
)

// The format of an archive, little-endian: the magic number; a prelude of BSON documents (the header, then one
// for each collection) and a terminator; then segments, each a header, documents and a terminator. The last
// segment of a collection has no documents but EOF and the checksum of all its documents.
// (github.com/mongodb/mongo-tools, common/archive)
const (
	magic      = 0x8199e26d
	terminator = 0xffffffff
	largest    = 17 << 20 // of a BSON document: 16 MB, and what a command has around it
)

var table = crc64.MakeTable(crc64.ECMA)

type header struct {
	Concurrent int32  `bson:"concurrent_collections"`
	Version    string `bson:"version"`
	Server     string `bson:"server_version"`
	Tool       string `bson:"tool_version"`
}

type collection struct {
	Database string `bson:"db"`
	Name     string `bson:"collection"`
	Metadata string `bson:"metadata"`
	Size     int32  `bson:"size"`
	Type     string `bson:"type"`
}

type segment struct {
	Database string `bson:"db"`
	Name     string `bson:"collection"`
	EOF      bool   `bson:"EOF"`
	CRC      int64  `bson:"CRC"`
}

type writer struct{ to *bufio.Writer }

func (w writer) number(value uint32) error { return binary.Write(w.to, binary.LittleEndian, value) }

func (w writer) document(value any) error {
	raw, err := bson.Marshal(value)
	if err != nil {
		return err
	}
	_, err = w.to.Write(raw)
	return err
}

type reader struct{ from *bufio.Reader }

func (r reader) number() (uint32, error) {
	var value uint32
	err := binary.Read(r.from, binary.LittleEndian, &value)
	return value, err
}

// document returns the next document, or nil at a terminator.
func (r reader) document() (bson.Raw, error) {
	size, err := r.number()
	if err != nil || size == terminator {
		return nil, err
	}
	if size < 5 || size > largest {
		return nil, fmt.Errorf("a document of %d bytes: the archive is damaged", size)
	}
	raw := make(bson.Raw, size)
	binary.LittleEndian.PutUint32(raw, size)
	if _, err = io.ReadFull(r.from, raw[4:]); err != nil {
		return nil, fmt.Errorf("the archive ends too early: %w", err)
	}
	return raw, raw.Validate()
}

// prelude returns the collections of the archive.
func (r reader) prelude() ([]collection, error) {
	found, err := r.number()
	if err != nil || found != magic {
		return nil, errors.New("this is not an archive of mongodump")
	}
	if _, err = r.document(); err != nil {
		return nil, err
	}
	var all []collection
	for {
		raw, err := r.document()
		if err != nil || raw == nil {
			return all, err
		}
		var one collection
		if err = bson.Unmarshal(raw, &one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
}

// body gives every document to take, and checks each collection's checksum at its end.
func (r reader) body(take func(database, name string, document bson.Raw) error, done func(database, name string) error) error {
	sums := map[string]hash.Hash64{}
	for {
		raw, err := r.document()
		if errors.Is(err, io.EOF) {
			if len(sums) > 0 {
				return errors.New("the archive ends before all of its collections do")
			}
			return nil
		}
		if err != nil {
			return err
		}
		var of segment
		if err = bson.Unmarshal(raw, &of); err != nil {
			return err
		}
		key := of.Database + "." + of.Name
		if sums[key] == nil {
			sums[key] = crc64.New(table)
		}
		for {
			document, err := r.document()
			if err != nil {
				return err
			}
			if document == nil {
				break
			}
			sums[key].Write(document)
			if err = take(of.Database, of.Name, document); err != nil {
				return err
			}
		}
		if of.EOF {
			if int64(sums[key].Sum64()) != of.CRC {
				return fmt.Errorf("the checksum of %s is wrong: the archive is damaged", key)
			}
			delete(sums, key)
			if err = done(of.Database, of.Name); err != nil {
				return err
			}
		}
	}
}
