//! HEIC and AVIF files, put together box by box from the coded picture of a sample: with every item, property and
//! reference that a test needs, wrong ones too.

/// A box with a body.
pub(crate) fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap();
    [&length.to_be_bytes()[..], kind, body].concat()
}

/// A box whose body begins with a version and flags.
pub(crate) fn full_box(kind: &[u8; 4], version: u8, body: &[u8]) -> Vec<u8> {
    boxed(kind, &[&[version, 0, 0, 0], body].concat())
}

/// The property of width and height.
pub(crate) fn ispe(width: u32, height: u32) -> Vec<u8> {
    full_box(b"ispe", 0, &[width.to_be_bytes(), height.to_be_bytes()].concat())
}

/// The property of a crop to width and height around the centre, moved by halves of pixels.
pub(crate) fn clap(width: u32, height: u32, halves_across: i32, halves_down: i32) -> Vec<u8> {
    let two = 2_i32;
    let numbers = [width.cast_signed(), 1, height.cast_signed(), 1, halves_across, two, halves_down, two];
    boxed(b"clap", &numbers.map(i32::to_be_bytes).concat())
}

/// The property of colours: primaries, transfer and matrix (ITU-T H.273), with the full range.
pub(crate) fn nclx(primaries: u16, transfer: u16, matrix: u16) -> Vec<u8> {
    let codes = [primaries, transfer, matrix].map(u16::to_be_bytes).concat();
    boxed(b"colr", &[b"nclx", &codes[..], &[0x80]].concat())
}

/// The property of an ICC profile.
pub(crate) fn icc(profile: &[u8]) -> Vec<u8> {
    boxed(b"colr", &[b"prof", profile].concat())
}

/// A coded picture: the type of its item, its configuration as a property, and its bytes.
#[derive(Clone)]
pub(crate) struct Coded {
    pub(crate) kind: [u8; 4],
    pub(crate) config: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

impl Coded {
    /// The only picture of a file, whose box `mdat` holds nothing else.
    pub(crate) fn of(file: &[u8]) -> Self {
        let whole_box = |kind: &[u8; 4]| {
            let at = file.windows(4).position(|bytes| bytes == kind)? - 4;
            let length = u32::from_be_bytes(file[at..at + 4].try_into().unwrap());
            Some(file[at..][..length as usize].to_vec())
        };
        let data = whole_box(b"mdat").unwrap()[8..].to_vec();
        match (whole_box(b"hvcC"), whole_box(b"av1C")) {
            (Some(config), None) => Self { kind: *b"hvc1", config, data },
            (None, Some(config)) => Self { kind: *b"av01", config, data },
            _ => panic!("one coded picture"),
        }
    }
}

/// The alpha channel of the sample `alpha.heic`: a picture without colours, all of one grey.
pub(crate) fn grey(file: &[u8]) -> Coded {
    // It comes second.
    let at = file.windows(4).rposition(|bytes| bytes == b"hvcC").unwrap() - 4;
    let length = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    // Its slice begins there.
    let data = file[0x95a..].to_vec();
    Coded { kind: *b"hvc1", config: file[at..at + length].to_vec(), data }
}

struct Item {
    kind: [u8; 4],
    data: Vec<u8>,
    /// Numbers of properties, and whether each is essential.
    properties: Vec<(u16, bool)>,
}

/// A file. Items are numbered from 1.
#[derive(Default)]
pub(crate) struct File {
    items: Vec<Item>,
    properties: Vec<Vec<u8>>,
    references: Vec<([u8; 4], u16, Vec<u16>)>,
    pub(crate) primary: u16,
    /// Boxes at the end of `meta`.
    pub(crate) more: Vec<u8>,
}

impl File {
    /// A file of one coded picture with these properties.
    pub(crate) fn of(coded: &Coded, properties: &[Vec<u8>]) -> Self {
        let mut file = Self::default();
        file.primary = file.add_coded(coded, properties);
        file
    }

    /// Adds an item, and returns its number.
    pub(crate) fn add(&mut self, kind: [u8; 4], data: &[u8], properties: &[Vec<u8>]) -> u16 {
        let mut item = Item { kind, data: data.to_vec(), properties: Vec::new() };
        for property in properties {
            // Items share equal ones.
            let at = self.properties.iter().position(|known| known == property).unwrap_or_else(|| {
                self.properties.push(property.clone());
                self.properties.len() - 1
            });
            item.properties.push((u16::try_from(at + 1).unwrap(), false));
        }
        self.items.push(item);
        u16::try_from(self.items.len()).unwrap()
    }

    /// Adds a coded picture, which needs the property of its sides among others.
    pub(crate) fn add_coded(&mut self, coded: &Coded, properties: &[Vec<u8>]) -> u16 {
        self.add(coded.kind, &coded.data, &[std::slice::from_ref(&coded.config), properties].concat())
    }

    /// Adds a picture that is made of others.
    pub(crate) fn add_derived(
        &mut self,
        kind: [u8; 4],
        data: &[u8],
        of: &[u16],
        properties: &[Vec<u8>],
    ) -> u16 {
        let id = self.add(kind, data, properties);
        self.refer(*b"dimg", id, of);
        id
    }

    /// Adds rows of equal pictures.
    pub(crate) fn add_grid(
        &mut self,
        columns: u8,
        rows: u8,
        sides: (u32, u32),
        of: &[u16],
        more: &[Vec<u8>],
    ) -> u16 {
        // Version 0, and sides of 32 bits.
        let mut data = vec![0, 1, rows - 1, columns - 1];
        data.extend([sides.0.to_be_bytes(), sides.1.to_be_bytes()].concat());
        self.add_derived(*b"grid", &data, of, &[&[ispe(sides.0, sides.1)], more].concat())
    }

    pub(crate) fn refer(&mut self, kind: [u8; 4], from: u16, to: &[u16]) {
        self.references.push((kind, from, to.to_vec()));
    }

    /// Adds an essential property to an item.
    pub(crate) fn add_essential(&mut self, item: u16, property: &[u8]) {
        self.properties.push(property.to_vec());
        let number = u16::try_from(self.properties.len()).unwrap();
        self.items[usize::from(item) - 1].properties.push((number, true));
    }

    /// Adds properties that no item has.
    pub(crate) fn add_unused(&mut self, property: &[u8], times: usize) {
        self.properties.extend(std::iter::repeat_n(property.to_vec(), times));
    }

    /// The bytes of the file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let brand: &[u8] =
            if self.items.iter().any(|item| &item.kind == b"av01") { b"avif" } else { b"heic" };
        let brands = boxed(b"ftyp", &[brand, &[0; 4], b"mif1", brand].concat());
        let begin = brands.len() + self.meta(0).len() + 8;
        let data: Vec<u8> = self.items.iter().flat_map(|item| item.data.clone()).collect();
        [brands, self.meta(begin), boxed(b"mdat", &data)].concat()
    }

    /// The box `meta`, if the bytes of the first item begin at a place of the file.
    fn meta(&self, begin: usize) -> Vec<u8> {
        let count = u16::try_from(self.items.len()).unwrap().to_be_bytes();
        let number = |length: usize| u32::try_from(length).unwrap().to_be_bytes();
        let ids = || (1_u16..).map(u16::to_be_bytes).zip(&self.items);
        // Offsets and lengths of four bytes.
        let mut locations = [&[0x44, 0][..], &count].concat();
        let mut at = begin;
        for (id, item) in ids() {
            locations.extend([&id[..], &[0, 0, 0, 1], &number(at), &number(item.data.len())].concat());
            at += item.data.len();
        }
        let mut infos = count.to_vec();
        for (id, item) in ids() {
            infos.extend(full_box(b"infe", 2, &[&id[..], &[0, 0], &item.kind, &[0]].concat()));
        }
        let mut references = Vec::new();
        for (kind, from, to) in &self.references {
            let all: Vec<u8> = to.iter().flat_map(|id| id.to_be_bytes()).collect();
            let count = u16::try_from(to.len()).unwrap().to_be_bytes();
            references.extend(boxed(kind, &[&from.to_be_bytes()[..], &count, &all].concat()));
        }
        // Numbers of properties have two bytes: flag 1.
        let mut associations = [&[0, 0, 0, 1][..], &number(self.items.len())].concat();
        for (id, item) in ids() {
            associations.extend(id);
            associations.push(u8::try_from(item.properties.len()).unwrap());
            for (property, is_essential) in &item.properties {
                associations.extend((property | u16::from(*is_essential) << 15).to_be_bytes());
            }
        }
        let properties = [boxed(b"ipco", &self.properties.concat()), boxed(b"ipma", &associations)].concat();
        let handler = [&[0; 4][..], b"pict", &[0; 13]].concat();
        let body = [
            full_box(b"hdlr", 0, &handler),
            full_box(b"pitm", 0, &self.primary.to_be_bytes()),
            full_box(b"iloc", 0, &locations),
            full_box(b"iinf", 0, &infos),
            full_box(b"iref", 0, &references),
            boxed(b"iprp", &properties),
            self.more.clone(),
        ];
        full_box(b"meta", 0, &body.concat())
    }
}
